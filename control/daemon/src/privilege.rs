//! What needs root, said before anything fails half-way.

use paceline_model::Config;
use paceline_model::config::PortKind;

/// linux/capability.h
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const SYS_ADMIN: u32 = 21;

/// The configuration asks for what this process may not do.
#[derive(Debug, thiserror::Error)]
#[error("{} needs root ({}): run as root, or without it{}", .what.join(", "), .missing.join(", "), hint(*.docker))]
pub struct Unprivileged {
    what: Vec<String>,
    missing: Vec<&'static str>,
    docker: bool,
}

fn hint(docker: bool) -> &'static str {
    if docker { " (--no-docker)" } else { "" }
}

/// Checks that the process may do all that `config` asks for.
///
/// # Errors
/// [`Unprivileged`] names every part that it may not.
pub fn check(config: &Config) -> Result<(), Unprivileged> {
    check_with(config, effective(&std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default()))
}

fn check_with(config: &Config, effective: u64) -> Result<(), Unprivileged> {
    let wanted = [(NET_ADMIN, "CAP_NET_ADMIN"), (NET_RAW, "CAP_NET_RAW"), (SYS_ADMIN, "CAP_SYS_ADMIN")];
    let missing: Vec<_> = wanted.iter().filter(|(bit, _)| effective & 1 << bit == 0).map(|w| w.1).collect();
    let device =
        |kind: &PortKind| matches!(kind, PortKind::Tap(_) | PortKind::Packet(_) | PortKind::Afxdp(_));
    let docker = config.docker.enabled;
    let mut what: Vec<String> = docker.then(|| "the Docker driver".into()).into_iter().collect();
    let ports = config.ports.iter().filter(|port| device(&port.kind));
    what.extend(ports.map(|port| format!("port {} ({})", port.name, port.kind.name())));
    what.extend(config.uplinks.iter().map(|uplink| format!("uplink {}", uplink.device)));
    if missing.is_empty() || what.is_empty() {
        return Ok(());
    }
    Err(Unprivileged { what, missing, docker })
}

/// The effective capabilities of a `/proc/PID/status` (proc(5)); all of them if it does not say.
fn effective(status: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    value.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("test", text, &paceline_model::config::Host::default()).unwrap()
    }

    #[test]
    fn what_needs_root_is_named() {
        let text = "[[port]]\nname = \"a\"\nkind = \"tap\"\n[[port]]\nname = \"b\"\nkind = \"null\"\n\
                    [[uplink]]\ndevice = \"eth0\"\n";
        let error = check_with(&config(text), 0).unwrap_err().to_string();
        assert_eq!(
            error,
            "the Docker driver, port a (tap), uplink eth0 needs root (CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN): run as root, or \
             without it (--no-docker)"
        );
        assert!(check_with(&config(text), u64::MAX).is_ok());
    }

    #[test]
    fn ports_without_a_device_need_nothing() {
        let text = "[docker]\nenabled = false\n[[port]]\nname = \"b\"\nkind = \"null\"\n";
        assert!(check_with(&config(text), 0).is_ok());
    }

    #[test]
    fn capabilities_are_read_from_the_kernel_s_words() {
        assert_eq!(effective("Name:\tx\nCapEff:\t0000000000003000\n"), 1 << NET_ADMIN | 1 << NET_RAW);
        assert_eq!(effective(""), u64::MAX);
    }
}
