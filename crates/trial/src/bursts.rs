//! Loads that have silences in them.

use std::time::Duration;

use bench_core::protocol::Measured;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{edges::Edges, sample::Sample};

/// Most bursts of a trial: each is a line's worth of its record.
const MAX_BURSTS: u32 = 1_000;

/// Longest silence. Beyond it a server ends connections on which nothing happens.
const MAX_SILENCE_MS: u64 = 60_000;

/// The load several times in one trial, over the same connections, with silence before each time.
///
/// Nothing is in flight at either edge of a burst, so each burst has a cost of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// How many there are.
    pub count: u32,
    /// Silence before each, in milliseconds. Reading the costs and telling the client adds about one.
    pub silence_ms: u64,
}

impl Bursts {
    /// Checks the values.
    ///
    /// # Errors
    /// One line with the value and the range.
    pub fn validate(self) -> Result<(), String> {
        if !(1..=MAX_BURSTS).contains(&self.count) {
            return Err(format!("bursts: {} is out of range, 1 to {MAX_BURSTS} are possible", self.count));
        }
        if self.silence_ms > MAX_SILENCE_MS {
            let most = MAX_SILENCE_MS;
            return Err(format!(
                "silence: {} ms is out of range, 0 to {most} ms are possible",
                self.silence_ms
            ));
        }
        Ok(())
    }

    /// Silence before each burst.
    pub fn silence(self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }
}

/// One burst of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Burst {
    /// What was really between the end of what came before and its start, in nanoseconds: the silence, and the time that it
    /// takes to read costs and to tell the client.
    pub silence_ns: u64,
    /// What was done in it, as the client says.
    pub measured: Measured,
    /// What the server had used before and after it.
    pub server: Edges<Sample>,
    /// What the client had used before and after it.
    pub client: Edges<Sample>,
}
