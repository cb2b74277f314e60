//! From text to [`Config`].
//!
//! Each section, port and bridge is read on its own, so that one wrong port does not hide the next.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::error::{ConfigError, Problem};
use super::port::{Common, Port, PortKind};
use super::{Config, Filters, Host, Interface, check};

/// A value with its place in the file.
pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

impl Config {
    /// The file at `path`, for this `host`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path, host: &Host) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::read(path, source))?;
        Self::parse(&path.display().to_string(), &text, host)
    }

    /// The text of a file that is called `name` in errors, for this `host`.
    ///
    /// # Errors
    /// [`ConfigError::Problems`], with as many of them as can be told at once: what cannot be read as TOML; else what
    /// is no field or no value of one, one for each section, port and bridge; else what does not fit together.
    pub fn parse(name: &str, text: &str, host: &Host) -> Result<Self, ConfigError> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<_> = errors.iter().map(|error| problem(error, 0..0)).collect();
        if problems.is_empty() {
            let config = read(document.get_ref().clone(), &mut problems);
            if problems.is_empty() {
                problems = check::problems(&config, host, document.get_ref());
            }
            if problems.is_empty() {
                return Ok(config);
            }
        }
        Err(ConfigError::problems(name, text, problems))
    }
}

/// Names of the sections.
const SECTIONS: &str = "buffers, workers, sessions, docker, api, state, port, bridge, vrf, interface, route, nat, uplink, vxlan, group and acl";

fn read(document: DeTable<'_>, problems: &mut Vec<Problem>) -> Config {
    let mut config = Config::default();
    for (key, value) in document {
        match key.get_ref().as_ref() {
            "buffers" => set(&mut config.buffers, value, problems),
            "workers" => set(&mut config.workers, value, problems),
            "sessions" => set(&mut config.sessions, value, problems),
            "docker" => set(&mut config.docker, value, problems),
            "api" => set(&mut config.api, value, problems),
            "state" => set(&mut config.state, value, problems),
            "port" => config.ports = list("port", value, problems, port),
            "bridge" => config.bridges = list("bridge", value, problems, typed),
            "vrf" => config.vrfs = list("vrf", value, problems, typed),
            "interface" => config.interfaces = list("interface", value, problems, interface),
            "nat" => config.nat = read_one(value, problems),
            "route" => config.routes = list("route", value, problems, typed).into(),
            "group" => config.groups = list("group", value, problems, typed),
            "acl" => config.acls = list("acl", value, problems, typed),
            "uplink" => config.uplinks = list("uplink", value, problems, typed),
            "vxlan" => config.vxlans = list("vxlan", value, problems, typed),
            other => {
                let message = format!("{other:?}: there is no such section; there are {SECTIONS}");
                problems.push(Problem { message, span: key.span() });
            }
        }
    }
    config
}

fn read_one<T: DeserializeOwned>(value: Value<'_>, problems: &mut Vec<Problem>) -> Option<T> {
    typed(value).map_err(|problem| problems.push(problem)).ok()
}

fn set<T: DeserializeOwned>(section: &mut T, value: Value<'_>, problems: &mut Vec<Problem>) {
    match typed(value) {
        Ok(value) => *section = value,
        Err(problem) => problems.push(problem),
    }
}

/// The elements of an array of tables.
pub(crate) fn list<T>(
    name: &str,
    value: Value<'_>,
    problems: &mut Vec<Problem>,
    element: fn(Value<'_>) -> Result<T, Problem>,
) -> Vec<T> {
    let span = value.span();
    let DeValue::Array(values) = value.into_inner() else {
        problems.push(Problem { message: format!("{name}: must be written [[{name}]]"), span });
        return Vec::new();
    };
    let (mut elements, mut wrong) = (Vec::new(), Vec::new());
    for value in values {
        match element(value) {
            Ok(element) => elements.push(element),
            Err(problem) => wrong.push(problem),
        }
    }
    problems.append(&mut wrong);
    elements
}

/// A value as the type wants it.
pub(crate) fn typed<T: DeserializeOwned>(value: Value<'_>) -> Result<T, Problem> {
    let span = value.span();
    T::deserialize(ValueDeserializer::from(value)).map_err(|error| problem(&error, span))
}

/// Takes the fields that are filters out of a table.
fn filters(table: &mut DeTable<'_>, span: &std::ops::Range<usize>) -> Result<Filters, Problem> {
    let mut filters = DeTable::new();
    for (key, value) in std::mem::take(table) {
        let into = if Filters::FIELDS.contains(&key.get_ref().as_ref()) { &mut filters } else { &mut *table };
        into.insert(key, value);
    }
    typed(Spanned::new(span.clone(), DeValue::Table(filters)))
}

/// An interface: its filters stand beside its other fields.
fn interface(value: Value<'_>) -> Result<Interface, Problem> {
    let span = value.span();
    let DeValue::Table(mut own) = value.into_inner() else {
        return Err(Problem { message: "interface: must be written [[interface]]".into(), span });
    };
    let filters = filters(&mut own, &span)?;
    let interface: Interface = typed(Spanned::new(span, DeValue::Table(own)))?;
    Ok(Interface { filters, ..interface })
}

/// A port: `kind` says which fields there are beside the common ones.
fn port(value: Value<'_>) -> Result<Port, Problem> {
    let span = value.span();
    let DeValue::Table(mut own) = value.into_inner() else {
        return Err(Problem { message: "port: must be written [[port]]".into(), span });
    };
    let (mut common, mut kind, filters) = (DeTable::new(), None, filters(&mut own, &span)?);
    for (key, value) in std::mem::take(&mut own) {
        match key.get_ref().as_ref() {
            "kind" => kind = Some(value),
            name if Common::FIELDS.contains(&name) => drop(common.insert(key, value)),
            _ => drop(own.insert(key, value)),
        }
    }
    let Some(kind) = kind else {
        let message = format!("port without a kind: must be kind = {}", kinds());
        return Err(Problem { message, span });
    };
    let Common { name, mtu, mac, queues } = typed(Spanned::new(span.clone(), DeValue::Table(common)))?;
    let fields = Spanned::new(span, DeValue::Table(own));
    let kind = match kind.get_ref().as_str() {
        Some("tap") => PortKind::Tap(typed(fields)?),
        Some("packet") => PortKind::Packet(typed(fields)?),
        Some("afxdp") => PortKind::Afxdp(typed(fields)?),
        Some("vhost-user") => PortKind::VhostUser(typed(fields)?),
        Some("memif") => PortKind::Memif(typed(fields)?),
        Some("pcap") => PortKind::Pcap(typed(fields)?),
        Some("generator") => PortKind::Generator(typed(fields)?),
        Some("null") => typed::<NoFields>(fields).map(|NoFields {}| PortKind::Null)?,
        other => {
            let message = format!(
                "kind = {}: must be {}",
                other.map_or("?".into(), |kind| format!("{kind:?}")),
                kinds()
            );
            return Err(Problem { message, span: kind.span() });
        }
    };
    Ok(Port { name, mtu, mac, queues, kind, filters })
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

fn kinds() -> String {
    PortKind::NAMES.map(|name| format!("{name:?}")).join(", ")
}

pub(crate) fn problem(error: &toml::de::Error, otherwise: std::ops::Range<usize>) -> Problem {
    Problem { message: error.message().trim().to_owned(), span: error.span().unwrap_or(otherwise) }
}
