//! A user and a password in a URL: `ws://user:password@host/`.

use super::{error::SpecError, header::Header};

/// What stands for a user and a password in a message.
const MASK: &str = "***";

/// A URL without its user and password, and the header that says the same to a server (Basic authorization, RFC 7617).
///
/// The password is in no URL from here on, so that no message can show it.
///
/// # Errors
/// When a percent sign is not followed by two hexadecimal digits, or the user has a colon. The password is not quoted.
pub fn take_user(url: &str) -> Result<(String, Option<Header>), SpecError> {
    let Some((before, user, after)) = split(url) else { return Ok((url.to_owned(), None)) };
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (user, password) = (percent_decoded(user)?, percent_decoded(password)?);
    if user.contains(&b':') {
        return SpecError::misfit("the user in a URL cannot have a colon: use --header 'Authorization: …'");
    }
    let credentials = [user.as_slice(), b":", &password].concat();
    let header = Header::new("Authorization", &format!("Basic {}", base64(&credentials)))?;
    Ok((format!("{before}{after}"), Some(header)))
}

/// A URL with a mask in place of its user and password, for messages.
pub fn without_password(url: &str) -> String {
    match split(url) {
        Some((before, _, after)) => format!("{before}{MASK}@{after}"),
        None => url.to_owned(),
    }
}

/// What lies before the user and password, they themselves, and what follows the `@`; `None` where there is no user.
fn split(url: &str) -> Option<(&str, &str, &str)> {
    let begin = url.find("://").map_or(0, |place| place + "://".len());
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |place| begin + place);
    // A password may hold an `@` that nobody has encoded; a host cannot.
    let at = begin + url[begin..end].rfind('@')?;
    Some((&url[..begin], &url[begin..at], &url[at + 1..]))
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, SpecError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        match (digit(), digit()) {
            (Some(high), Some(low)) => decoded.push((high * 16 + low) as u8),
            _ => {
                return SpecError::misfit(
                    "the user or password in the URL has a % without two hexadecimal digits: write %25 for a percent sign",
                );
            }
        }
    }
    Ok(decoded)
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            (0..3).fold(0, |group, place| group << 8 | chunk.get(place).map_or(0, |byte| u32::from(*byte)));
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn users_leave_the_url_for_a_header() {
        let of = |url: &str| {
            let (url, header) = take_user(url).unwrap();
            (url, header.map(|header| header.to_string()))
        };
        let user = |url: &str, credentials: &str| {
            (url.to_owned(), Some(format!("Authorization: Basic {}", base64(credentials.as_bytes()))))
        };
        assert_eq!(of("ws://host:1/a@b"), ("ws://host:1/a@b".to_owned(), None));
        assert_eq!(of("host:1"), ("host:1".to_owned(), None));
        assert_eq!(of("ws://Aladdin:open%20sesame@host/"), user("ws://host/", "Aladdin:open sesame"));
        assert_eq!(of("wss://me@host?a=b@c"), user("wss://host?a=b@c", "me:"));
        assert_eq!(of("me:p@ss:w@host:1"), user("host:1", "me:p@ss:w"));
        assert_eq!(of("ws://%C3%A4:%40@[::1]:9/#x@y"), user("ws://[::1]:9/#x@y", "ä:@"));
    }

    #[test]
    fn passwords_are_in_no_message() {
        for wrong in ["ws://me:secret%2@host/", "ws://me:%zzsecret@host/", "ws://a%3Ab:secret@host/"] {
            let error = take_user(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert_eq!(without_password("ws://me:secret@host/x"), "ws://***@host/x");
        assert_eq!(without_password("me:secret@host:1"), "***@host:1");
        assert_eq!(without_password("ws://host/@x"), "ws://host/@x");
    }
}
