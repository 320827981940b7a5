//! What a client adds to the request of its opening handshake.

use std::{fmt, str::FromStr};

use super::error::SpecError;

/// Headers that the opening handshake writes itself (RFC 6455, section 4.1), as it does all that begin with [`PROTOCOL`].
const OWN: [&str; 2] = ["connection", "upgrade"];

/// How the names of the protocol's own headers begin.
const PROTOCOL: &str = "sec-websocket-";

/// A header that a client adds to the request of its opening handshake.
///
/// Its value may be a secret, so that [`Debug`](fmt::Debug) leaves it out; [`Display`](fmt::Display) is the whole header.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: String,
}

impl Header {
    /// A header with a name and a value.
    ///
    /// # Errors
    /// When either has a character that it may not have, or the header is one of the opening handshake's own.
    pub fn new(name: &str, value: &str) -> Result<Header, SpecError> {
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            return SpecError::misfit(format!(
                "`{name}` is not the name of a header: use letters, digits and hyphens"
            ));
        }
        if lower == "sec-websocket-protocol" {
            return SpecError::misfit(format!("the header {name} is written by --subprotocol: use that"));
        }
        if OWN.contains(&lower.as_str()) || lower.starts_with(PROTOCOL) {
            return SpecError::misfit(format!(
                "the header {name} belongs to the WebSocket protocol and cannot be changed: leave it out"
            ));
        }
        let value = value.trim_matches([' ', '\t']);
        if value.chars().any(|character| character.is_control() && character != '\t') {
            return SpecError::misfit(format!(
                "the value of the header {name} has a line break or another control character: leave it out"
            ));
        }
        Ok(Header { name: name.to_owned(), value: value.to_owned() })
    }

    /// The name as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, without white space around it.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether this is the header of a name, in upper or lower case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl FromStr for Header {
    type Err = SpecError;

    /// Reads `Name: value`.
    fn from_str(text: &str) -> Result<Header, SpecError> {
        match text.split_once(':') {
            Some((name, value)) => Header::new(name, value),
            None => SpecError::misfit("a header has a colon after its name: use 'Name: value'"),
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.value)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads the name of a subprotocol.
///
/// # Errors
/// When it is empty or has a character that such a name may not have.
pub fn subprotocol(name: &str) -> Result<String, SpecError> {
    if name.contains([',', ' ']) {
        return SpecError::misfit(format!("`{name}` is not one subprotocol: give --subprotocol for each"));
    }
    if !is_token(name) {
        return SpecError::misfit(format!(
            "`{name}` is not the name of a subprotocol: use letters, digits, hyphens and dots"
        ));
    }
    Ok(name.to_owned())
}

/// Refuses what a request may hold only once.
pub(super) fn validate(headers: &[Header], subprotocols: &[String]) -> Result<(), SpecError> {
    for name in ["Host", "Origin", "Authorization"] {
        if headers.iter().filter(|header| header.is(name)).count() > 1 {
            let user = if name == "Authorization" { " (a user in the URL counts as one)" } else { "" };
            return SpecError::misfit(format!(
                "the header {name} is given twice{user}: leave one of them out"
            ));
        }
    }
    for (place, name) in subprotocols.iter().enumerate() {
        subprotocol(name)?;
        if subprotocols[..place].contains(name) {
            return SpecError::misfit(format!(
                "the subprotocol `{name}` is given twice: leave one of them out"
            ));
        }
    }
    Ok(())
}

/// Whether a text is a token of HTTP (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<Header>().unwrap_err().to_string()
    }

    #[test]
    fn headers_have_a_name_and_a_value() {
        let header: Header = "Authorization:  Bearer a:b ".parse().unwrap();
        assert_eq!((header.name(), header.value()), ("Authorization", "Bearer a:b"));
        assert_eq!(header.to_string(), "Authorization: Bearer a:b");
        assert!(header.is("authorization") && !format!("{header:?}").contains("Bearer"));
        assert_eq!("X-Empty:".parse::<Header>().unwrap().value(), "");
        assert_eq!("Host: other".parse::<Header>().unwrap().value(), "other");
    }

    #[test]
    fn headers_that_break_the_handshake_are_refused() {
        assert!(refusal("Authorization").contains("use 'Name: value'"));
        for name in ["", "A b", "A\r\nB", "Näme"] {
            assert!(refusal(&format!("{name}: x")).contains("is not the name of a header"), "{name}");
        }
        for name in ["connection", "UPGRADE", "Sec-WebSocket-Key", "sec-websocket-extensions"] {
            assert!(refusal(&format!("{name}: x")).contains("belongs to the WebSocket protocol"), "{name}");
        }
        assert!(refusal("Sec-WebSocket-Protocol: chat").contains("--subprotocol"));
        let injected = refusal("X: a\r\nConnection: close");
        assert!(injected.contains("control character") && !injected.contains('\n'), "{injected}");
    }

    #[test]
    fn subprotocols_are_tokens_and_differ() {
        assert_eq!(subprotocol("graphql-transport-ws"), Ok("graphql-transport-ws".to_owned()));
        assert!(subprotocol("a, b").unwrap_err().to_string().contains("--subprotocol for each"));
        assert!(subprotocol("").is_err() && subprotocol("a/b").is_err());
        let twice = validate(&[], &["a".to_owned(), "b".to_owned(), "a".to_owned()]).unwrap_err();
        assert!(twice.to_string().contains("`a` is given twice"), "{twice}");
        let header = |text: &str| text.parse::<Header>().unwrap();
        let users = [header("authorization: x"), header("Authorization: y")];
        assert!(validate(&users, &[]).unwrap_err().to_string().contains("a user in the URL"));
        assert_eq!(validate(&[header("X: 1"), header("X: 2")], &[]), Ok(()));
    }
}
