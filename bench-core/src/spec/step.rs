//! Steps of a paced load.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::parse_millis;

use super::{
    error::{SpecError, in_range},
    limits::MAX_DURATION_MS,
};

/// Most that a step may offer of what the server can do.
const MAX_PERCENT: u32 = 1_000;

/// A stretch of a paced load with a rate of its own, which is not known before the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Rate, as hundredths of what the same connections reached in a closed loop in the warm-up.
    pub percent_of_capacity: u32,
    /// Length of the step.
    pub duration_ms: u64,
}

impl Step {
    /// Parses a step such as `150%:10s`.
    ///
    /// # Errors
    /// When the text has another form or a value is out of range.
    pub fn parse(text: &str) -> Result<Step, SpecError> {
        let form = || SpecError::NotAStep(text.to_owned());
        let (percent, time) = text.split_once("%:").ok_or_else(form)?;
        let percent_of_capacity = percent.trim().parse().map_err(|_| form())?;
        let step = Step { percent_of_capacity, duration_ms: parse_millis(time)? };
        step.validate()?;
        Ok(step)
    }

    pub(super) fn validate(self) -> Result<(), SpecError> {
        in_range("share of the capacity", self.percent_of_capacity.into(), 1, MAX_PERCENT.into(), "%")?;
        in_range("duration of a step", self.duration_ms, 1, MAX_DURATION_MS, "ms")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%:{}ms", self.percent_of_capacity, self.duration_ms)
    }
}
