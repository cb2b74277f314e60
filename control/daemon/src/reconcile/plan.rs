//! The difference between what is and what should be, as steps.

use std::collections::{BTreeMap, BTreeSet};

use paceline_model::{DesiredPort, PortName};

/// What to do to ports. What is in none of the lists is not touched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Ports to close before others are opened: their successors have the same name, and perhaps the same device.
    pub replace: Vec<PortName>,
    /// Ports to open, and give to the workers.
    pub open: Vec<PortName>,
    /// Ports to take from the workers at the end, when no bridge has them any more.
    pub remove: Vec<PortName>,
}

impl Plan {
    /// From the ports that are, each with what it was opened from, to those that should be. Ports in `later` are not tried
    /// now.
    pub fn new(
        actual: &BTreeMap<PortName, DesiredPort>,
        desired: &BTreeMap<PortName, DesiredPort>,
        later: &BTreeSet<PortName>,
    ) -> Self {
        let mut plan = Self::default();
        for (name, port) in desired.iter().filter(|(name, _)| !later.contains(*name)) {
            match actual.get(name) {
                Some(is) if is == port => continue,
                Some(_) => plan.replace.push(name.clone()),
                None => {}
            }
            plan.open.push(name.clone());
        }
        plan.remove = actual.keys().filter(|name| !desired.contains_key(*name)).cloned().collect();
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paceline_model::DesiredKind;
    use paceline_model::config::PortKind;

    fn ports(list: &[(&str, u16)]) -> BTreeMap<PortName, DesiredPort> {
        let port =
            |mtu| DesiredPort { kind: DesiredKind::Configured(PortKind::Null), mtu, mac: None, queues: 1 };
        list.iter().map(|(name, mtu)| (name.parse().unwrap(), port(*mtu))).collect()
    }

    fn names(names: &[PortName]) -> Vec<&str> {
        names.iter().map(PortName::as_str).collect()
    }

    #[test]
    fn only_what_differs_is_touched() {
        let (is, should) = (ports(&[("a", 1), ("b", 1), ("c", 1)]), ports(&[("b", 1), ("c", 2), ("d", 1)]));
        let plan = Plan::new(&is, &should, &BTreeSet::new());
        assert_eq!(names(&plan.replace), ["c"]);
        assert_eq!(names(&plan.open), ["c", "d"]);
        assert_eq!(names(&plan.remove), ["a"]);
        assert_eq!(Plan::new(&should, &should, &BTreeSet::new()), Plan::default());
    }

    #[test]
    fn what_waits_is_left_alone() {
        let (is, should) = (ports(&[("a", 1)]), ports(&[("a", 2), ("b", 1)]));
        let later = ["a", "b"].map(|name| name.parse().unwrap()).into();
        assert_eq!(Plan::new(&is, &should, &later), Plan::default());
    }
}
