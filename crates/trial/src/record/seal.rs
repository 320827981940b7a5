//! A checksum at the end of each line of a result file: a digit that has flipped is valid JSON.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The last field of a line, up to its value.
const FIELD: &str = ",\"checksum\":\"";

/// Hexadecimal digits of the checksum: 64 bits are far more than bad memory or a bad disk would ever match by chance.
const DIGITS: usize = 16;

/// What ends a sealed line.
const END: &str = "\"}";

/// A line is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the line is not what was written: its checksum differs")]
pub struct BrokenSeal;

impl From<BrokenSeal> for String {
    fn from(error: BrokenSeal) -> String {
        error.to_string()
    }
}

/// Adds the checksum to a line, which is one JSON object without an end of line.
pub(super) fn seal(json: &str) -> String {
    let Some(body) = json.strip_suffix('}') else { return json.to_owned() };
    format!("{body}{FIELD}{}{END}", checksum(body))
}

/// Compares a line with its checksum. One that has none is taken as it is: files of earlier versions, and lines that
/// somebody made.
///
/// # Errors
/// When the line is not what was written.
pub fn check_seal(line: &str) -> Result<(), BrokenSeal> {
    let line = line.trim_end();
    let start = line.len().checked_sub(FIELD.len() + DIGITS + END.len());
    let Some((body, rest)) = start.and_then(|start| line.split_at_checked(start)) else { return Ok(()) };
    let stated = rest.strip_prefix(FIELD).and_then(|rest| rest.strip_suffix(END));
    match stated {
        Some(stated) if stated != checksum(body) => Err(BrokenSeal),
        _ => Ok(()),
    }
}

fn checksum(body: &str) -> String {
    Sha256::digest(body).iter().take(DIGITS / 2).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_sealed_line_is_seen_or_harmless() {
        let line = seal(r#"{"kind":"trial","units":1000}"#);
        assert!(check_seal(&line).is_ok() && check_seal(&(line.clone() + "\n")).is_ok());
        let body = line.find(FIELD).unwrap();
        for bit in 0..8 * body {
            let mut bytes = line.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // What is no text is refused before.
            if let Ok(damaged) = String::from_utf8(bytes) {
                assert!(check_seal(&damaged).is_err(), "{damaged}");
            }
        }
    }

    #[test]
    fn a_line_without_one_is_taken_as_it_is() {
        for line in ["", "{}", r#"{"kind":"trial","units":1000}"#, "…………………………………………"]
        {
            assert_eq!(check_seal(line), Ok(()), "{line}");
        }
    }
}
