//! Selectors: expressions over labels, as Calico writes them.
//!
//! ```text
//! expression: and ("||" and)*          and: unary ("&&" unary)*
//! unary: "!" unary | "(" expression ")" | "all()" | "has(" key ")"
//!      | key "==" value | key "!=" value | key "in" "{" values "}" | key "not in" "{" values "}"
//! ```
//!
//! A label that is not there is not equal to anything: `role != "db"` and `role not in {"db"}` hold without a `role`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::Labels;
use crate::{LabelKey, LabelValue};

mod parse;

pub use parse::SelectorError;

/// Which endpoints: an expression over their labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// `all()`
    All,
    /// `has(key)`
    Has(LabelKey),
    /// `key == "value"`
    Is(LabelKey, LabelValue),
    /// `key in {"value", "value"}`
    In(LabelKey, BTreeSet<LabelValue>),
    /// `!expression`
    Not(Box<Self>),
    /// `a && b`, of at least two
    And(Vec<Self>),
    /// `a || b`, of at least two
    Or(Vec<Self>),
}

impl Selector {
    /// Whether it selects who has these labels.
    pub fn selects(&self, labels: &Labels) -> bool {
        match self {
            Self::All => true,
            Self::Has(key) => labels.get(key.as_str()).is_some(),
            Self::Is(key, value) => labels.get(key.as_str()) == Some(value.as_str()),
            Self::In(key, values) => labels.get(key.as_str()).is_some_and(|value| values.contains(value)),
            Self::Not(other) => !other.selects(labels),
            Self::And(all) => all.iter().all(|one| one.selects(labels)),
            Self::Or(any) => any.iter().any(|one| one.selects(labels)),
        }
    }

    /// All keys that it looks at.
    pub fn keys(&self) -> BTreeSet<&LabelKey> {
        match self {
            Self::All => BTreeSet::new(),
            Self::Has(key) | Self::Is(key, _) | Self::In(key, _) => [key].into(),
            Self::Not(other) => other.keys(),
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::keys).collect(),
        }
    }

    /// How tightly it holds together, for parentheses.
    fn rank(&self) -> u8 {
        match self {
            Self::Or(_) => 0,
            Self::And(_) => 1,
            _ => 2,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, least: u8) -> fmt::Result {
        if self.rank() < least {
            f.write_str("(")?;
            self.write(f, 0)?;
            return f.write_str(")");
        }
        match self {
            Self::All => f.write_str("all()"),
            Self::Has(key) => write!(f, "has({key})"),
            Self::Is(key, value) => write!(f, "{key} == \"{value}\""),
            Self::In(key, values) => set(f, key, "in", values),
            Self::Not(other) => match &**other {
                Self::Is(key, value) => write!(f, "{key} != \"{value}\""),
                Self::In(key, values) => set(f, key, "not in", values),
                other => {
                    f.write_str("!")?;
                    // Without them `!a == "b"` would be of the other one.
                    other.write(
                        f,
                        if matches!(other, Self::All | Self::Has(_) | Self::Not(_)) { 2 } else { 3 },
                    )
                }
            },
            Self::And(all) => list(f, all, " && ", 2),
            Self::Or(all) => list(f, all, " || ", 1),
        }
    }
}

fn set(f: &mut fmt::Formatter<'_>, key: &LabelKey, word: &str, values: &BTreeSet<LabelValue>) -> fmt::Result {
    let values: Vec<_> = values.iter().map(|value| format!("\"{value}\"")).collect();
    write!(f, "{key} {word} {{{}}}", values.join(", "))
}

fn list(f: &mut fmt::Formatter<'_>, all: &[Selector], between: &str, least: u8) -> fmt::Result {
    for (number, one) in all.iter().enumerate() {
        f.write_str(if number == 0 { "" } else { between })?;
        one.write(f, least)?;
    }
    Ok(())
}

/// In the one form that all texts of the same expression have.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        parse::parse(text)
    }
}

crate::text::as_text!(Selector);

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selects(selector: &str, labels: &str) -> bool {
        selector.parse::<Selector>().unwrap().selects(&labels.parse().unwrap())
    }

    #[test]
    fn operators_mean_what_they_say() {
        let db = "role=db,env=prod";
        for (selector, expected) in [
            ("all()", true),
            ("role == \"db\"", true),
            ("role == 'web'", false),
            ("role != \"web\"", true),
            ("zone != \"a\"", true),
            ("zone == \"a\"", false),
            ("has(role)", true),
            ("!has(role)", false),
            ("has(zone)", false),
            ("env in {\"prod\", \"test\"}", true),
            ("env in { 'test' }", false),
            ("env not in {\"test\"}", true),
            ("zone not in {\"a\"}", true),
            ("role == \"db\" && env == \"test\"", false),
            ("role == \"db\" || env == \"test\"", true),
            // && goes before ||.
            ("role == \"db\" || env == \"prod\" && has(zone)", true),
            ("(role == \"db\" || env == \"prod\") && has(zone)", false),
            ("!(role == \"db\" && has(zone))", true),
            ("!!has(role)", true),
            // A key may be a word of the language.
            ("in in {\"x\"} || not == \"x\" || all == \"x\" || has == \"x\"", false),
        ] {
            assert_eq!(selects(selector, db), expected, "{selector}");
        }
    }

    #[test]
    fn an_error_says_where_and_what_would_be_right() {
        let error = |text: &str| text.parse::<Selector>().unwrap_err().to_string();
        for (text, expected) in [
            ("", "character 1: the selector ends; must go on with a label, has(…), all(), ! or ("),
            ("role = \"db\"", "character 6: \"=\" is no operator; must be ==, !=, in or not in"),
            ("role == db", "character 9: \"db\" is no value; must be in quotes, like \"db\""),
            ("role == \"db", "character 9: this text does not end; must be closed with \""),
            ("role", "character 5: the selector ends; must go on with ==, !=, in or not in"),
            (
                "role == \"db\" and x == \"y\"",
                "character 14: \"and\" is one too many; must be &&, || or the end",
            ),
            ("(has(a)", "character 8: the selector ends; must go on with &&, || or )"),
            ("has(a) & has(b)", "character 8: \"&\" is no operator; must be &&"),
            ("a in \"x\"", "character 6: must be values in braces, like {\"a\", \"b\"}"),
            ("a in {}", "character 7: there is no value in the braces; must be like {\"a\", \"b\"}"),
            ("a in {\"x\" \"y\"}", "character 11: must be , or }"),
            ("a not {\"x\"}", "character 7: must be in, as in a not in {\"a\", \"b\"}"),
            ("has a", "character 5: \"a\" is no operator; must be ==, !=, in or not in"),
            ("has()", "character 5: must be a label's key, as in has(role)"),
            (
                "a == \"b c\"",
                "character 6: label value \"b c\": must be 1 to 63 characters of A-Z a-z 0-9 _./-",
            ),
            ("a == \"b\" §", "character 10: '§' has no meaning here"),
        ] {
            assert_eq!(error(text), format!("selector {text:?}: at {expected}"), "{text}");
        }
        let deep = format!("{}has(a){}", "(".repeat(100), ")".repeat(100));
        assert!(error(&deep).ends_with("more than 32 levels of parentheses"), "{}", error(&deep));
        let long = format!("has(a){}", " ".repeat(5000));
        assert!(error(&long).ends_with("must be at most 4096 characters long"));
    }

    /// Any selector over few keys and values.
    pub fn any() -> impl Strategy<Value = Selector> {
        let key = || prop::sample::select(vec!["a", "b", "c"]).prop_map(|key| key.parse().unwrap());
        let value = || prop::sample::select(vec!["x", "y"]).prop_map(|value: &str| value.parse().unwrap());
        let leaf = prop_oneof![
            Just(Selector::All),
            key().prop_map(Selector::Has),
            (key(), value()).prop_map(|(key, value)| Selector::Is(key, value)),
            (key(), prop::collection::btree_set(value(), 1..3))
                .prop_map(|(key, values)| Selector::In(key, values)),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|one| Selector::Not(Box::new(one))),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Selector::And),
                prop::collection::vec(inner, 2..4).prop_map(Selector::Or),
            ]
        })
    }

    /// Any labels over the same.
    pub fn labels() -> impl Strategy<Value = Labels> {
        prop::sample::subsequence(vec!["a=x", "b=x", "c=y"], 0..=3)
            .prop_map(|pairs| pairs.join(",").parse().unwrap())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(selector in any(), labels in labels()) {
            let again: Selector = selector.to_string().parse().unwrap();
            prop_assert_eq!(again.selects(&labels), selector.selects(&labels), "{}", selector);
            prop_assert_eq!(again.to_string(), selector.to_string());
        }

        #[test]
        fn no_text_is_too_bad(text in ".{0,40}") {
            let _ = text.parse::<Selector>();
        }

        #[test]
        fn no_text_of_its_own_characters_is_too_bad(text in "[a-c !&|(){},\"'=]{0,40}") {
            if let Ok(selector) = text.parse::<Selector>() {
                prop_assert!(selector.to_string().parse::<Selector>().is_ok(), "{}", selector);
            }
        }
    }
}
