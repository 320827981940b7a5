//! Why a specification is refused.

use units::ParseError;

/// Why a specification is refused: one line with the value, the range and the reason.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// A value is out of range.
    #[error("{name}: {value}{unit} is out of range, {least} to {most}{unit} are possible")]
    OutOfRange {
        /// What it is the value of.
        name: &'static str,
        /// The value.
        value: u64,
        /// The least that is possible.
        least: u64,
        /// The most that is possible.
        most: u64,
        /// What it is counted in, after a space.
        unit: String,
    },
    /// Values that are possible by themselves mean nothing together, or one of them is missing.
    #[error("{0}")]
    Contradiction(String),
    /// A text is not a step of a paced load.
    #[error("`{0}` is no step: a share of the capacity and a time, as in 150%:10s")]
    NotAStep(String),
    /// A text is not a time.
    #[error(transparent)]
    NotATime(#[from] ParseError),
    /// There is no such target.
    #[error("{0}")]
    Target(String),
}

impl From<SpecError> for String {
    fn from(error: SpecError) -> String {
        error.to_string()
    }
}

/// Checks that a value is in its range.
pub(super) fn in_range(
    name: &'static str,
    value: u64,
    least: u64,
    most: u64,
    unit: &str,
) -> Result<(), SpecError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    Err(SpecError::OutOfRange { name, value, least, most, unit })
}

/// Refuses values that mean nothing together.
pub(super) fn contradiction(reason: impl Into<String>) -> Result<(), SpecError> {
    Err(SpecError::Contradiction(reason.into()))
}
