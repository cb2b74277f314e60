//! Labels: what an endpoint is, in words of its user.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::NameError;
use crate::{LabelKey, LabelValue};

/// Labels by key, as in `role=db,env=prod`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<LabelKey, LabelValue>);

impl Labels {
    /// Most labels of one network or endpoint.
    pub const MAX: usize = 32;

    /// The value of a label; none: it is not there.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(LabelValue::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// These, and those of `more`, which win.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        let mut all = self.0.clone();
        all.extend(more.0.clone());
        Self(all)
    }
}

/// A text that is no list of labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A part without a value.
    #[error("label {0:?}: must be a key and a value, as in role=db")]
    Pair(String),
    /// A key or a value of other characters.
    #[error(transparent)]
    Name(#[from] NameError),
    /// One key, two values.
    #[error("label {0:?}: is there twice")]
    Twice(String),
    /// Too many.
    #[error("{0} labels: there can be {max} at most", max = Labels::MAX)]
    Many(usize),
}

impl FromStr for Labels {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let mut labels = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let short = || pair.chars().take(80).collect();
            let (key, value) = pair.split_once('=').ok_or_else(|| LabelError::Pair(short()))?;
            let key = LabelKey::from_str(key.trim())?;
            if labels.insert(key, LabelValue::from_str(value.trim())?).is_some() {
                return Err(LabelError::Twice(short()));
            }
        }
        if labels.len() > Self::MAX { Err(LabelError::Many(labels.len())) } else { Ok(Self(labels)) }
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, value)) in self.iter().enumerate() {
            write!(f, "{}{key}={value}", if number == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_text_and_back() {
        let labels: Labels = "role=db, env=prod,".parse().unwrap();
        assert_eq!(labels.to_string(), "env=prod,role=db");
        assert_eq!(
            (labels.get("role"), labels.get("env"), labels.get("x")),
            (Some("db"), Some("prod"), None)
        );
        assert_eq!(labels.with(&"env=test".parse().unwrap()).to_string(), "env=test,role=db");
        assert!("".parse::<Labels>().unwrap().is_empty());
    }

    #[test]
    fn what_is_none_is_told() {
        let error = |text: &str| text.parse::<Labels>().unwrap_err().to_string();
        assert_eq!(error("role"), r#"label "role": must be a key and a value, as in role=db"#);
        assert_eq!(error("role=a,role=b"), r#"label "role=b": is there twice"#);
        assert!(error("role=").starts_with("label value \"\": must be 1 to 63 characters"));
        assert!(error("ro le=x").starts_with("label \"ro le\": must be 1 to 63 characters"));
        let many: Vec<_> = (0..33).map(|number| format!("k{number}=v")).collect();
        assert_eq!(error(&many.join(",")), "33 labels: there can be 32 at most");
    }
}
