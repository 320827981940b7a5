//! Why a specification is refused.

/// Why a specification is refused: one line for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A value is out of its range.
    #[error("{what}: {value}{unit} is out of range ({least} to {most}{unit})")]
    OutOfRange {
        /// What the value is of.
        what: &'static str,
        /// The value.
        value: u64,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
        /// The unit, with a space before it; empty where a value has none.
        unit: &'static str,
    },
    /// A field was given that another workload has.
    #[error("{what} mean nothing to the workload {workload}; they belong to {having}")]
    OtherWorkload {
        /// What was given.
        what: &'static str,
        /// Name of the workload.
        workload: String,
        /// The workloads that have it, in words.
        having: String,
    },
    /// Values that do not fit together, with the reason.
    #[error("{0}")]
    Misfit(String),
}

impl SpecError {
    pub(super) fn misfit<T>(reason: impl Into<String>) -> Result<T, SpecError> {
        Err(SpecError::Misfit(reason.into()))
    }
}
