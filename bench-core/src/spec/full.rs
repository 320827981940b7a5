//! What happens to a message for which there is no room.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flags::flag_value;

/// Policy for a message that finds a subscriber's queue full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The publisher waits, and with it everybody.
    #[default]
    Wait,
    /// The oldest message in the queue is dropped.
    Drop,
    /// The subscriber is disconnected.
    Disconnect,
}

impl WhenFull {
    /// The name as in requests and on the command line.
    pub fn name(self) -> String {
        flag_value(self)
    }

    /// The policy of that [`name`](WhenFull::name).
    pub fn from_name(name: &str) -> Option<WhenFull> {
        <WhenFull as ValueEnum>::from_str(name, false).ok()
    }
}
