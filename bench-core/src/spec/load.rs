//! What a client does: the workload with all its parameters.

use std::time::Duration;

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    MAX_DURATION_MS, SocketSpec,
    parse::{flag_value, flags, in_range, parse_bytes, parse_micros, parse_millis},
};
use crate::{
    Kind,
    payload::{HEADER_BYTES, PUSH_HEADER_BYTES, SEQUENCES},
};

/// Largest product of window and payload for windows over one: an echo pair whose messages in flight exceed the
/// socket buffers of both directions stops for good, each side blocked in a write.
pub const MAX_IN_FLIGHT_BYTES: u64 = 256 * 1024;

/// Most connections of one client: the ephemeral ports that one source address has towards one server, roughly.
pub const MAX_CONNECTIONS: u32 = 28_000;

/// Highest rate that can be asked for: beyond what any pair of processes reaches.
const MAX_RATE: u64 = 100_000_000;

/// What the client asks of the server: the workload with all its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// What the client does
    #[arg(long, value_enum, default_value_t)]
    pub workload: Workload,
    /// Connections that are open at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub connections: u32,
    /// Size of a message
    #[arg(long = "payload", value_name = "BYTES", value_parser = parse_bytes, default_value = "24")]
    pub payload_bytes: u64,
    /// Text or binary messages
    #[arg(long, value_enum, default_value_t)]
    pub kind: Kind,
    /// Messages in flight on each connection (window)
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub window: u32,
    /// Length of the measured window
    #[arg(long = "duration", value_name = "TIME", value_parser = parse_millis, default_value = "1s")]
    pub duration_ms: u64,
    /// Length of the same load before the measured window, not counted
    #[arg(long = "warm-up", value_name = "TIME", value_parser = parse_millis, default_value = "200ms")]
    pub warm_up_ms: u64,
    /// Messages on each connection. connect, ping-pong, window: stop after so many instead of after the duration;
    /// one-way: size of a batch (10,000); push: pushes to each connection (20)
    #[arg(long, value_name = "N")]
    pub messages: Option<u64>,
    /// Period of the pushes to one connection
    #[arg(long = "every", value_name = "TIME", value_parser = parse_micros, default_value = "1s")]
    pub every_us: u64,
    /// When pushes are due
    #[arg(long, value_enum, default_value_t)]
    pub schedule: Schedule,
    /// Messages a second that are offered, over all connections (paced)
    #[arg(long = "rate", value_name = "HZ")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u64>,
}

impl Default for Load {
    fn default() -> Load {
        Load {
            workload: Workload::PingPong,
            connections: 1,
            payload_bytes: 24,
            kind: Kind::Text,
            window: 1,
            duration_ms: 1_000,
            warm_up_ms: 200,
            messages: None,
            every_us: 1_000_000,
            schedule: Schedule::OnConnect,
            rate_per_s: None,
        }
    }
}

impl Load {
    /// Messages of a one-way batch: the seed's 10,000, unless given.
    pub fn batch(&self) -> u64 {
        self.messages.unwrap_or(10_000)
    }

    /// Pushes to each connection: the seed's 20, unless given.
    pub fn pushes(&self) -> u64 {
        self.messages.unwrap_or(20)
    }

    /// Messages that a paced load offers in its measured window.
    pub fn offered(&self) -> u64 {
        self.rate_per_s.unwrap_or(0).saturating_mul(self.duration_ms) / 1_000
    }

    /// How long the measured window takes, roughly; for deadlines and progress only.
    pub fn expected(&self) -> Duration {
        match self.workload {
            Workload::Push => {
                Duration::from_micros(self.every_us.saturating_mul(self.pushes().saturating_sub(1)))
            }
            // A hundred microseconds a message is an order of magnitude above a round trip of a Rust row.
            Workload::Connect | Workload::PingPong | Workload::Window if self.messages.is_some() => {
                let all = self.messages.unwrap_or(0).saturating_mul(u64::from(self.connections));
                Duration::from_micros(all.saturating_mul(100))
            }
            _ => Duration::from_millis(self.duration_ms),
        }
    }

    /// Checks the load against itself and against the limits of its connections.
    ///
    /// # Errors
    /// One line with the value, the range and the reason.
    pub fn validate(&self, socket: &SocketSpec) -> Result<(), String> {
        socket.validate()?;
        // No connection at all is where the memory of idle ones is counted from.
        let least = u64::from(self.workload != Workload::Idle);
        in_range("connections", self.connections.into(), least, MAX_CONNECTIONS.into(), "")?;
        let limit = socket.max_message_bytes.min(socket.max_frame_bytes);
        let header = if self.workload == Workload::Push { PUSH_HEADER_BYTES } else { HEADER_BYTES };
        if self.payload_bytes > limit {
            return Err(format!(
                "a payload of {} B is over the server's limit of {limit} B for one message in one frame (--max-message, \
                 --max-frame)",
                self.payload_bytes
            ));
        }
        if self.payload_bytes < header as u64 {
            return Err(format!(
                "a payload of {} B is too small: {header} to {limit} B, because the first {header} carry the message's \
                 class and number",
                self.payload_bytes
            ));
        }
        in_range("window", self.window.into(), 1, 1 << 20, "messages in flight")?;
        if self.window > 1 && self.workload != Workload::Window {
            return Err(format!(
                "a window of {} means nothing to the workload {}: only `window` keeps several messages in flight",
                self.window,
                self.workload.name()
            ));
        }
        let in_flight = u64::from(self.window) * self.payload_bytes;
        if self.window > 1 && in_flight > MAX_IN_FLIGHT_BYTES {
            return Err(format!(
                "a window of {} messages of {} B keeps {in_flight} B in flight; windows over 1 may keep 1 to \
                 {MAX_IN_FLIGHT_BYTES} B, because beyond the socket buffers an echo blocks both ends for good",
                self.window, self.payload_bytes
            ));
        }
        self.validate_rate()?;
        socket.allows_silence_of(self)?;
        in_range("duration", self.duration_ms, 1, MAX_DURATION_MS, "ms")?;
        in_range("warm-up", self.warm_up_ms, 0, MAX_DURATION_MS, "ms")?;
        in_range("period of pushes", self.every_us, 1, MAX_DURATION_MS * 1_000, "µs")?;
        if let Some(messages) = self.messages {
            in_range("messages", messages, 1, SEQUENCES, "")?;
        }
        if self.expected() > Duration::from_millis(MAX_DURATION_MS) {
            return Err(format!(
                "this load takes about {} s; a trial may take {} s",
                self.expected().as_secs(),
                MAX_DURATION_MS / 1_000
            ));
        }
        Ok(())
    }

    fn validate_rate(&self) -> Result<(), String> {
        match (self.workload, self.rate_per_s) {
            (Workload::Paced, None) => {
                Err("the workload paced needs a rate: --rate, in messages a second over all connections"
                    .to_owned())
            }
            (Workload::Paced, Some(rate)) => {
                in_range("rate", rate, 1, MAX_RATE, "messages a second")?;
                if self.offered() == 0 {
                    return Err(format!(
                        "{rate} messages a second for {} ms are no message at all",
                        self.duration_ms
                    ));
                }
                if self.messages.is_some() {
                    return Err(
                        "a paced load is given by its rate and duration, without --messages".to_owned()
                    );
                }
                Ok(())
            }
            (_, None) => Ok(()),
            (other, Some(_)) => {
                Err(format!("a rate means nothing to the workload {}: only `paced` has one", other.name()))
            }
        }
    }

    pub(super) fn to_args(&self) -> Vec<String> {
        let mut args = flags(&[
            ("workload", self.workload.name()),
            ("connections", self.connections.to_string()),
            ("payload", self.payload_bytes.to_string()),
            ("kind", flag_value(self.kind)),
            ("window", self.window.to_string()),
            ("duration", format!("{}ms", self.duration_ms)),
            ("warm-up", format!("{}ms", self.warm_up_ms)),
            ("every", format!("{}us", self.every_us)),
            ("schedule", flag_value(self.schedule)),
        ]);
        if let Some(messages) = self.messages {
            args.extend(flags(&[("messages", messages.to_string())]));
        }
        if let Some(rate) = self.rate_per_s {
            args.extend(flags(&[("rate", rate.to_string())]));
        }
        args
    }
}

/// What the client does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Opens a connection, upgrades it, waits for a first pushed message and closes; over and over.
    Connect,
    /// Sends a message and waits for its echo: a closed loop with one in flight.
    #[default]
    PingPong,
    /// Keeps `window` messages in flight and sends one for each echo: a closed loop.
    Window,
    /// Sends batches of `messages` and waits for the server's count at the end of each.
    OneWay,
    /// Waits for pushes and takes how late each arrives.
    Push,
    /// Holds open connections and sends nothing.
    Idle,
    /// Sends at intended instants, spread evenly over the connections, whatever the answers do; latency counts from
    /// the intended instant.
    Paced,
}

impl Workload {
    /// All workloads.
    pub const ALL: &'static [Workload] = &[
        Workload::Connect,
        Workload::PingPong,
        Workload::Window,
        Workload::OneWay,
        Workload::Push,
        Workload::Idle,
        Workload::Paced,
    ];

    /// Name in flags, scenarios and records.
    pub fn name(self) -> String {
        flag_value(self)
    }

    /// Whether the next message waits for the answer to the one before, so that a slow server is asked less.
    pub fn is_closed_loop(self) -> bool {
        matches!(self, Workload::Connect | Workload::PingPong | Workload::Window | Workload::OneWay)
    }

    /// Whether it keeps several messages in flight on a connection: there the flush policy decides what is measured.
    pub fn needs_flush_policy(self) -> bool {
        matches!(self, Workload::Window | Workload::OneWay)
    }
}

/// When the pushes to a connection are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// The first at once when the connection stands. Connecting is part of the measured window.
    #[default]
    OnConnect,
    /// All connections at the same instants.
    Aligned,
    /// Spread evenly over the period, connection after connection.
    Staggered,
}
