//! How sure intervals and verdicts are.

/// What the table and a run assume unless they are told otherwise.
pub const DEFAULT_CONFIDENCE: f64 = 0.95;

/// Parses a confidence such as `0.95`.
///
/// # Errors
/// When it is not between one half and one.
pub fn parse_confidence(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a confidence is a number such as 0.95".to_owned())?;
    if (0.5..1.0).contains(&share) {
        Ok(share)
    } else {
        Err(format!("{text} is out of range: 0.5 to 0.999… are possible"))
    }
}
