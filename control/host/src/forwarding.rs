//! The kernel's forwarding, which all that enters or leaves a network needs.

use std::fs;

use paceline_model::HostPlan;

use crate::error::HostError;
use crate::plan::Family;
use crate::sysctl::{self, Set};

/// Turns it on for the families that need it; what to tell the user. It is never turned off again: by then others may rely on it.
///
/// # Errors
/// [`HostError::Sysctl`].
pub fn bring(plan: &HostPlan) -> Result<Vec<String>, HostError> {
    let mut notes = Vec::new();
    for (family, setting) in
        [(Family::V4, "net/ipv4/ip_forward"), (Family::V6, "net/ipv6/conf/all/forwarding")]
    {
        let needs = plan.networks.values().any(|network| family.leaves(network));
        if !needs || sysctl::get(setting).as_deref() == Some("1") {
            continue;
        }
        if family == Family::V6 {
            notes.extend(keep_router_advertisements(plan)?);
        }
        let name = setting.replace('/', ".");
        match sysctl::set(setting, "1")? {
            Set::Changed => notes.push(format!(
                "{name}: was 0, is 1: this host forwards packets between all of its networks, also after the switch has stopped"
            )),
            Set::ReadOnly => notes.push(format!(
                "{name}: is 0 and /proc/sys is read-only: containers do not reach the outside until it is set to 1"
            )),
            Set::Unchanged | Set::Absent => {}
        }
    }
    Ok(notes)
}

/// A router takes no router advertisements unless it is told to (`accept_ra` 2, kernel documentation ip-sysctl): a host that
/// got its IPv6 address and default route by them would lose both. So those interfaces that took them go on taking them, and
/// are told so before forwarding is on, which is when the kernel forgets the routes.
fn keep_router_advertisements(plan: &HostPlan) -> Result<Option<String>, HostError> {
    let Ok(interfaces) = fs::read_dir(sysctl::path("net/ipv6/conf")) else { return Ok(None) };
    let names = interfaces.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let others =
        names.filter(|name| !["all", "default", "lo", plan.device.as_str()].contains(&name.as_str()));
    let mut kept = Vec::new();
    for name in others {
        let setting = |what| format!("net/ipv6/conf/{name}/{what}");
        let is = |what, value| sysctl::get(&setting(what)).as_deref() == Some(value);
        if is("accept_ra", "1")
            && is("forwarding", "0")
            && sysctl::set(&setting("accept_ra"), "2")? == Set::Changed
        {
            kept.push(name);
        }
    }
    kept.sort();
    let note = || {
        format!(
            "accept_ra: was 1, is 2 on {}: they take router advertisements while this host forwards",
            kept.join(", ")
        )
    };
    Ok((!kept.is_empty()).then(note))
}
