//! From the bytes of a request to its type.

use serde::de::DeserializeOwned;

/// Largest body that is read, in bytes. The largest that an engine sends, a container's with thousands of published ports,
/// is a tenth of it.
pub const MAX_BODY: usize = 1 << 20;

/// Why bytes are no request.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No bytes at all: what the engine sends when it repeats a call whose connection broke.
    #[error(
        "{method}: the request has no body, as when a call is repeated after its connection broke: give the command again"
    )]
    Empty {
        /// The method.
        method: String,
    },
    /// More than [`MAX_BODY`] bytes.
    #[error("{method}: the request has more than {MAX_BODY} bytes: fewer or shorter options are needed")]
    TooLarge {
        /// The method.
        method: String,
    },
    /// The connection broke, or its HTTP did.
    #[error("{method}: the request did not arrive in full: {why}")]
    Incomplete {
        /// The method.
        method: String,
        /// What happened.
        why: String,
    },
    /// JSON, maybe, but no object.
    #[error("{method}: the request must be a JSON object, like {{\"NetworkID\": \"…\"}}")]
    NotAnObject {
        /// The method.
        method: String,
    },
    /// No JSON, or a field that is missing or of the wrong type. The source says where.
    #[error("{method}: {path}{source}")]
    Malformed {
        /// The method.
        method: String,
        /// The field, with a colon behind it; empty for the whole.
        path: String,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
}

/// Reads the request of `method`.
///
/// # Errors
/// See [`WireError`].
pub fn decode<T: DeserializeOwned>(method: &str, body: &[u8]) -> Result<T, WireError> {
    let method = || method.to_owned();
    match body.trim_ascii_start().first() {
        None => return Err(WireError::Empty { method: method() }),
        // Serde would also take an array, by position.
        Some(b'{') => {}
        Some(_) => return Err(WireError::NotAnObject { method: method() }),
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let malformed = |path, source| WireError::Malformed { method: method(), path, source };
    let request = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // Ends in a question mark where the text ended before a field's name.
        let path = error.path().to_string();
        let path = path.trim_end_matches(['?', '.']);
        let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
        malformed(path, error.into_inner())
    })?;
    json.end().map_err(|error| malformed(String::new(), error))?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::network::{CreateNetwork, EndpointRef, IpamData};

    fn error<T: DeserializeOwned>(body: &str) -> String {
        decode::<T>("M", body.as_bytes()).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn each_error_names_method_field_and_position() {
        assert!(error::<EndpointRef>("").contains("has no body"));
        assert!(error::<EndpointRef>(" \n").contains("has no body"));
        for body in ["[]", "7", "nul", "\"\"", "\0\u{1}"] {
            assert!(error::<EndpointRef>(body).contains("must be a JSON object"), "{body:?}");
        }
        assert_eq!(error::<EndpointRef>("{"), "M: EOF while parsing an object at line 1 column 1");
        assert_eq!(
            error::<EndpointRef>("{\"NetworkID\":7}"),
            "M: NetworkID: invalid type: integer `7`, expected a string at line 1 column 14"
        );
        assert!(error::<EndpointRef>("{\"NetworkID\":\"n\"}").contains("missing field `EndpointID`"));
        assert!(error::<EndpointRef>("{\"NetworkID\":\"n\",\"EndpointID\":\"e\"}{}").contains("trailing"));
        assert_eq!(
            error::<CreateNetwork>(r#"{"NetworkID":"n","IPv4Data":[{"Pool":"10.0.0.0"}]}"#),
            "M: IPv4Data[0].Pool: invalid value: string \"10.0.0.0\", expected an address with a prefix length, \
             like 10.77.0.0/24 or fd77::/64 at line 1 column 48"
        );
    }

    #[test]
    fn unknown_fields_null_and_empty_text_are_not_given() {
        let bare: CreateNetwork = decode("M", br#"{"NetworkID":"n"}"#).unwrap();
        let nulls = br#"{"NetworkID":"n","Options":null,"IPv4Data":null,"IPv6Data":[],"New":{"a":[1]}}"#;
        assert_eq!(decode::<CreateNetwork>("M", nulls).unwrap(), bare);
        let empty = br#"{"NetworkID":"n","IPv4Data":[{"AddressSpace":null,"Pool":"","Gateway":null,"AuxAddresses":null}]}"#;
        let empty: CreateNetwork = decode("M", empty).unwrap();
        assert_eq!(empty.ipv4, [IpamData::default()]);
    }
}
