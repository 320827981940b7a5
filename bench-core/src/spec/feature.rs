//! What a row may offer beyond services and workloads.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// What a row may offer beyond services and workloads: parts of a load that an older runner, or one in another language,
/// need not know.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// What a client needs beside a server that is not wsbench's own ([`AnyServer`](super::AnyServer)).
    AnyServer,
    /// Handlers that burn CPU time (`burn_us`), at both ends.
    Burn,
    /// Connects at a rate, of a client.
    ConnectRate,
    /// Messages by connection in the report of a client.
    Counts,
    /// Echoes on a connection that is opened and closed, and refusals that are counted, of a client.
    Exchanges,
    /// Headers and subprotocols of the opening handshake, and TLS with servers that are not wsbench's own, of a client.
    Handshake,
    /// The send buffer of a server.
    SendBuffer,
    /// The pacing `sleep` of a client.
    Sleep,
    /// Slices of the window, and delays, of a client.
    Slices,
    /// Connections of a client that stop reading for a while.
    Stall,
    /// Steps of a paced load, of a client.
    Steps,
    /// Several schedules of pushes on a connection, at both ends.
    Timers,
    /// TLS, at both ends.
    Tls,
    /// One echo on each idle connection, of a client.
    Touch,
}

impl Feature {
    /// All of them.
    pub const ALL: &'static [Feature] = &[
        Feature::AnyServer,
        Feature::Burn,
        Feature::ConnectRate,
        Feature::Counts,
        Feature::Exchanges,
        Feature::Handshake,
        Feature::SendBuffer,
        Feature::Sleep,
        Feature::Slices,
        Feature::Stall,
        Feature::Steps,
        Feature::Timers,
        Feature::Tls,
        Feature::Touch,
    ];

    /// Name in `describe` and in records.
    pub fn name(self) -> String {
        super::flags::flag_value(self)
    }

    /// Reads a list of names and passes over those that this version does not know: a newer runner may offer more.
    pub(crate) fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Feature>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Name {
            Known(Feature),
            Unknown(serde::de::IgnoredAny),
        }
        let names = Vec::<Name>::deserialize(deserializer)?;
        let known = |name| match name {
            Name::Known(feature) => Some(feature),
            Name::Unknown(_) => None,
        };
        Ok(names.into_iter().filter_map(known).collect())
    }
}
