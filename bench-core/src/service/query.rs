//! What a request asks for, in its path and query.

/// Why a request is refused, as the answer to it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(String);

impl From<String> for BadRequest {
    fn from(reason: String) -> BadRequest {
        BadRequest(reason)
    }
}

impl From<&str> for BadRequest {
    fn from(reason: &str) -> BadRequest {
        BadRequest(reason.to_owned())
    }
}

/// The value of a parameter as a number in a range.
///
/// # Errors
/// When it is not a number, or out of range.
pub(crate) fn number(name: &str, value: &str, least: u64, most: u64) -> Result<u64, BadRequest> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{name}={value}: a whole number from {least} to {most} is needed").into())
}
