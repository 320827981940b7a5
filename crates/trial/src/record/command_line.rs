//! The command line as a record keeps it.

use std::ffi::OsString;

/// Flags whose value may be a secret, after a name that ends with a colon.
const WITH_SECRETS: &str = "--header";

/// The command line of this process, for a person: bytes that are no text are replaced, and so is what may be a secret: user,
/// password and query of a URL, and the values of headers. A result file is something that people send to each other.
pub fn command_line() -> Vec<String> {
    public(std::env::args_os())
}

fn public(arguments: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut is_header = false;
    let shown = arguments.map(|argument| {
        let argument = argument.to_string_lossy();
        let shown = match argument.split_once('=') {
            _ if is_header => without_value(&argument),
            Some((WITH_SECRETS, header)) => format!("{WITH_SECRETS}={}", without_value(header)),
            _ => public_url(&argument),
        };
        is_header = argument == WITH_SECRETS;
        shown
    });
    shown.collect()
}

/// `Name: …` of a header.
fn without_value(header: &str) -> String {
    header.split_once(':').map_or("…".to_owned(), |(name, _)| format!("{name}: …"))
}

/// A URL without user and password, and without the query, which may hold a token. What is no URL stays as it is.
pub fn public_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, query) = match rest.find('?') {
        Some(place) => (&rest[..place], "?…"),
        None => (rest, ""),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{authority}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out() {
        for (url, shown) in [
            ("ws://127.0.0.1:9001/chat", "ws://127.0.0.1:9001/chat"),
            ("wss://me:secret@host:9001/@me/x", "wss://host:9001/@me/x"),
            ("ws://host?token=a@b/c", "ws://host?…"),
            ("--url=ws://me@host", "--url=ws://host"),
            ("me:secret@host", "me:secret@host"),
        ] {
            assert_eq!(public_url(url), shown);
        }
        let shown = |line: &str| public(line.split('|').map(OsString::from)).join("|");
        assert_eq!(
            shown("drive|ws://a:b@c/|--header|Authorization: Bearer x|-q"),
            "drive|ws://c/|--header|Authorization: …|-q"
        );
        assert_eq!(shown("--header=X-Key: x|--header|secret"), "--header=X-Key: …|--header|…");
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        use std::os::unix::ffi::OsStringExt;

        assert_eq!(public([OsString::from_vec(b"r\xff.ndjson".to_vec())].into_iter()), ["r\u{fffd}.ndjson"]);
    }
}
