//! How sure intervals and verdicts are.

/// What the table and a run assume unless they are told otherwise.
pub const DEFAULT_CONFIDENCE: f64 = 0.95;

/// Why a text is not a confidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfidenceError {
    /// It is not a number.
    #[error("a confidence is a number such as 0.95")]
    NotANumber,
    /// It says nothing, or everything.
    #[error("{0} is out of range: a confidence is at least 0.5 and less than 1")]
    OutOfRange(String),
}

/// Parses a confidence such as `0.95`.
///
/// # Errors
/// When it is not between one half and one.
pub fn parse_confidence(text: &str) -> Result<f64, ConfidenceError> {
    let share: f64 = text.parse().map_err(|_| ConfidenceError::NotANumber)?;
    if !(0.5..1.0).contains(&share) {
        return Err(ConfidenceError::OutOfRange(text.to_owned()));
    }
    Ok(share)
}
