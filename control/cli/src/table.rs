//! Tables for people, from JSON for programs.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, TableComponent, presets};
use serde_json::Value;

use crate::fail::Fail;

/// Width where standard output is no terminal.
const WIDTH: u16 = 100;

/// One column: its title, and its text of a row.
pub struct Column {
    title: &'static str,
    text: fn(&Value) -> String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A name or the like: never broken.
    Text,
    /// At the right.
    Number,
    /// Takes several lines where there is no room.
    Words,
}

/// A column of names and other short texts.
pub const fn text(title: &'static str, text: fn(&Value) -> String) -> Column {
    Column { title, text, kind: Kind::Text }
}

/// A column of numbers.
pub const fn number(title: &'static str, text: fn(&Value) -> String) -> Column {
    Column { title, text, kind: Kind::Number }
}

/// A column of sentences and lists.
pub const fn words(title: &'static str, text: fn(&Value) -> String) -> Column {
    Column { title, text, kind: Kind::Words }
}

/// A value in words: nothing for null, a list by its elements.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.1}", number.as_f64().unwrap_or_default()),
        Value::Array(values) if values.is_empty() => "-".into(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Prints rows; `none` if there are none.
pub fn print(columns: &[Column], rows: &[Value], none: &str) -> Result<(), Fail> {
    if rows.is_empty() {
        return say(none);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─');
    if table.width().is_none() {
        table.set_width(WIDTH);
    }
    table.set_header(columns.iter().map(|column| column.title));
    for row in rows {
        table.add_row(columns.iter().map(|column| (column.text)(row)));
    }
    for (column, shown) in columns.iter().zip(table.column_iter_mut()) {
        shown.set_padding((0, 1));
        if column.kind != Kind::Words {
            shown.set_constraint(ColumnConstraint::ContentWidth);
        }
        if column.kind == Kind::Number {
            shown.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    say(&lines.join("\n"))
}

/// Prints the fields of one object, one below the other.
pub fn print_fields(object: &Value) -> Result<(), Fail> {
    let fields: Vec<_> = object.as_object().into_iter().flatten().collect();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&String, &Value)| {
        let value = if value.is_string() { plain(value) } else { value.to_string() };
        format!("{name:width$}  {}", if value == "null" { "-".into() } else { value })
    };
    say(&fields.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Prints JSON.
pub fn print_json(value: &Value) -> Result<(), Fail> {
    say(&serde_json::to_string_pretty(value).expect("a JSON value is JSON"))
}

/// Prints text and the end of its line.
pub fn say(text: &str) -> Result<(), Fail> {
    writeln!(io::stdout(), "{text}").map_err(Fail::System)
}
