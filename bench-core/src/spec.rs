//! Specifications: everything that decides what a server or a client does in one trial.
//!
//! The same types are the flags of a runner, the fields of a scenario and part of every record. Whatever stands here
//! is equal for all rows of a comparison.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Kind,
    payload::{HEADER_BYTES, PUSH_HEADER_BYTES, SEQUENCES},
};

/// Largest product of window and payload for windows over one: an echo pair whose messages in flight exceed the
/// socket buffers of both directions stops for good, each side blocked in a write.
pub const MAX_IN_FLIGHT_BYTES: u64 = 256 * 1024;

/// Most connections of one client: the ephemeral ports that one source address has towards one server, roughly.
pub const MAX_CONNECTIONS: u32 = 28_000;

/// Longest measured window or warm-up. Anything longer is a soak test and not a trial.
const MAX_DURATION_MS: u64 = 3_600_000;

/// When messages that were fed are written to the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flush {
    /// Before the next read, once no complete message is left in user space.
    #[default]
    BeforeWait,
    /// After every message.
    Each,
}

impl Flush {
    /// The name as on the command line.
    pub fn name(self) -> String {
        flag_value(self)
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
    ];

    /// Name in flags, scenarios and records.
    pub fn name(self) -> String {
        flag_value(self)
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

/// Settings of a WebSocket connection, the same at both ends.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SocketSpec {
    /// Read buffer of a connection. tungstenite fills it with zeros before every read, so its size is part of what is
    /// measured
    #[arg(long = "read-buffer", value_name = "BYTES", value_parser = parse_bytes, default_value = "16KiB")]
    pub read_buffer_bytes: u64,
    /// Write buffer of a connection: messages beyond it are written out before the flush policy asks for it
    #[arg(long = "write-buffer", value_name = "BYTES", value_parser = parse_bytes, default_value = "128KiB")]
    pub write_buffer_bytes: u64,
    /// Largest message that an end accepts
    #[arg(long = "max-message", value_name = "BYTES", value_parser = parse_bytes, default_value = "16MiB")]
    pub max_message_bytes: u64,
    /// Largest frame that an end accepts
    #[arg(long = "max-frame", value_name = "BYTES", value_parser = parse_bytes, default_value = "16MiB")]
    pub max_frame_bytes: u64,
    /// When messages are written to the connection
    #[arg(long, value_enum, default_value_t)]
    pub flush: Flush,
    /// Longest time for an opening or a closing handshake
    #[arg(long = "handshake-timeout", value_name = "TIME", value_parser = parse_millis, default_value = "10s")]
    pub handshake_timeout_ms: u64,
}

impl Default for SocketSpec {
    fn default() -> SocketSpec {
        SocketSpec {
            read_buffer_bytes: 16 * 1024,
            write_buffer_bytes: 128 * 1024,
            max_message_bytes: 16 * 1024 * 1024,
            max_frame_bytes: 16 * 1024 * 1024,
            flush: Flush::BeforeWait,
            handshake_timeout_ms: 10_000,
        }
    }
}

impl SocketSpec {
    /// Longest time for an opening or a closing handshake.
    pub fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    fn to_args(&self) -> Vec<String> {
        flags(&[
            ("read-buffer", self.read_buffer_bytes.to_string()),
            ("write-buffer", self.write_buffer_bytes.to_string()),
            ("max-message", self.max_message_bytes.to_string()),
            ("max-frame", self.max_frame_bytes.to_string()),
            ("flush", flag_value(self.flush)),
            ("handshake-timeout", format!("{}ms", self.handshake_timeout_ms)),
        ])
    }

    fn validate(&self) -> Result<(), String> {
        in_range("read buffer", self.read_buffer_bytes, 64, 64 << 20, "B")?;
        in_range("write buffer", self.write_buffer_bytes, 64, 64 << 20, "B")?;
        in_range("largest message", self.max_message_bytes, 64, 1 << 30, "B")?;
        in_range("largest frame", self.max_frame_bytes, 64, 1 << 30, "B")?;
        in_range("handshake timeout", self.handshake_timeout_ms, 1, MAX_DURATION_MS, "ms")
    }
}

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

    fn to_args(&self) -> Vec<String> {
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
        args
    }
}

/// Everything that decides what a server does.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize, JsonSchema)]
pub struct ServeSpec {
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Worker threads of the runtime
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// Settings of every connection.
    #[command(flatten)]
    pub socket: SocketSpec,
}

impl ServeSpec {
    /// The flags of `serve` that say the same.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = flags(&[("listen", self.listen.to_string()), ("threads", self.threads.to_string())]);
        args.extend(self.socket.to_args());
        args
    }

    /// Checks the values.
    ///
    /// # Errors
    /// One line with the value, the range and the reason.
    pub fn validate(&self) -> Result<(), String> {
        in_range("threads", self.threads.into(), 1, 1024, "")?;
        self.socket.validate()
    }
}

/// Everything that decides what a client does.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize, JsonSchema)]
pub struct DriveSpec {
    /// Where the server listens: HOST:PORT, or ws://HOST:PORT/PATH for an echo service at another path
    #[arg(long, value_name = "ADDR")]
    pub target: String,
    /// Worker threads of the runtime
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// What to do there.
    #[command(flatten)]
    pub load: Load,
    /// Settings of every connection.
    #[command(flatten)]
    pub socket: SocketSpec,
}

impl DriveSpec {
    /// The flags of `drive` that say the same.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = flags(&[("target", self.target.clone()), ("threads", self.threads.to_string())]);
        args.extend(self.load.to_args());
        args.extend(self.socket.to_args());
        args
    }

    /// Checks the values.
    ///
    /// # Errors
    /// One line with the value, the range and the reason.
    pub fn validate(&self) -> Result<(), String> {
        in_range("threads", self.threads.into(), 1, 1024, "")?;
        self.load.validate(&self.socket)?;
        Target::parse(&self.target).map(drop).map_err(|error| format!("{error:#}"))
    }
}

/// Where a client connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address, resolved.
    pub addr: SocketAddr,
    /// What the Host header says: host and port as given.
    pub authority: String,
    /// The path of the echo service, where it is not wsbench's own.
    pub path: Option<String>,
}

impl Target {
    /// Parses `HOST:PORT` or `ws://HOST[:PORT]/PATH` and resolves the host.
    ///
    /// # Errors
    /// When the text has another form or the host does not resolve.
    pub fn parse(text: &str) -> anyhow::Result<Target> {
        anyhow::ensure!(
            !text.starts_with("wss://"),
            "`{text}` asks for TLS, which this client does not speak: use ws://HOST:PORT/PATH"
        );
        let (authority, path) = match text.strip_prefix("ws://") {
            None => (text.to_owned(), None),
            Some(rest) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let default_port =
                    if authority.ends_with(']') || !authority.contains(':') { ":80" } else { "" };
                (format!("{authority}{default_port}"), Some(format!("/{path}")))
            }
        };
        let addr = authority
            .to_socket_addrs()
            .with_context(|| format!("`{text}` is not a target: use HOST:PORT or ws://HOST:PORT/PATH"))?
            .next()
            .with_context(|| format!("the host of `{text}` has no address"))?;
        Ok(Target { addr, authority, path })
    }

    /// The URL of `service` (a path and query) there; the target's own path stands in for `/echo`.
    pub fn url(&self, service: &str) -> String {
        let path = match (&self.path, service) {
            (Some(path), "/echo") => path,
            _ => service,
        };
        format!("ws://{}{path}", self.authority)
    }
}

/// Parses a size such as `24`, `2KiB` or `1MiB`.
///
/// # Errors
/// When the text is no size, with examples.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "a size is a number of bytes or has a unit: 24, 2KiB, 1MiB".to_owned())
}

/// Parses a time such as `700ms` or `5s` into milliseconds.
///
/// # Errors
/// When the text is no time, or not a whole number of milliseconds.
pub fn parse_millis(text: &str) -> Result<u64, String> {
    whole(parse_time(text)?.as_nanos(), 1_000_000, "milliseconds")
}

/// Parses a time such as `200us` or `1s` into microseconds.
///
/// # Errors
/// When the text is no time, or not a whole number of microseconds.
pub fn parse_micros(text: &str) -> Result<u64, String> {
    whole(parse_time(text)?.as_nanos(), 1_000, "microseconds")
}

fn parse_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; a time has a unit: 700ms, 5s, 2min"))
}

fn whole(nanos: u128, unit: u128, name: &str) -> Result<u64, String> {
    if !nanos.is_multiple_of(unit) {
        return Err(format!("only whole {name} are supported"));
    }
    u64::try_from(nanos / unit).map_err(|_| "that is too long".to_owned())
}

fn in_range(name: &str, value: u64, least: u64, most: u64, unit: &str) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    Err(format!("{name}: {value}{unit} is out of range, {least} to {most}{unit} are possible"))
}

fn flags(pairs: &[(&str, String)]) -> Vec<String> {
    pairs.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect()
}

fn flag_value<V: ValueEnum>(value: V) -> String {
    value.to_possible_value().map_or_else(String::new, |possible| possible.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Drive {
        #[command(flatten)]
        spec: DriveSpec,
    }

    fn drive(args: &[String]) -> DriveSpec {
        let command = <Drive as clap::CommandFactory>::command();
        let matches =
            command.try_get_matches_from(std::iter::once("drive".to_owned()).chain(args.iter().cloned()));
        Drive::from_arg_matches(&matches.unwrap()).unwrap().spec
    }

    #[test]
    fn flags_and_spec_say_the_same() {
        let spec = drive(
            &"--target 127.0.0.1:9 --workload window --connections 3 --payload 2KiB --kind binary --window 16 \
              --duration 1500ms --warm-up 0ms --messages 77 --every 250us --schedule staggered --flush each \
              --read-buffer 4KiB --threads 2"
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
        assert_eq!(spec.load.payload_bytes, 2048);
        assert_eq!(spec.load.every_us, 250);
        assert_eq!(drive(&spec.to_args()), spec);
        let defaults = drive(&["--target".to_owned(), "[::1]:1".to_owned()]);
        assert_eq!(defaults.load, Load::default());
        assert_eq!(defaults.socket, SocketSpec::default());
    }

    fn refusal(change: impl FnOnce(&mut Load)) -> String {
        let mut load = Load::default();
        change(&mut load);
        load.validate(&SocketSpec::default()).unwrap_err()
    }

    #[test]
    fn absurd_loads_are_refused_with_range_and_reason() {
        assert!(refusal(|load| load.connections = 0).contains("1 to 28000"));
        assert!(refusal(|load| load.payload_bytes = 4).contains("8 to"));
        assert!(refusal(|load| load.payload_bytes = 17 << 20).contains("limit of 16777216 B"));
        assert!(refusal(|load| load.duration_ms = 0).contains("1 to 3600000 ms"));
        assert!(refusal(|load| load.messages = Some(0)).contains("messages: 0"));
        let window = |window, payload| {
            refusal(|load| {
                (load.workload, load.window, load.payload_bytes) = (Workload::Window, window, payload);
            })
        };
        assert!(window(0, 24).contains("window: 0"));
        assert!(window(16, 1 << 20).contains("blocks both ends"));
        assert!(refusal(|load| load.window = 2).contains("only `window`"));
    }

    #[test]
    fn targets() {
        let plain = Target::parse("127.0.0.1:80").unwrap();
        assert_eq!(plain.url("/echo"), "ws://127.0.0.1:80/echo");
        let other = Target::parse("ws://127.0.0.1:9001/chat?x=1").unwrap();
        assert_eq!(other.url("/echo"), "ws://127.0.0.1:9001/chat?x=1");
        assert_eq!(other.url("/sink?messages=2"), "ws://127.0.0.1:9001/sink?messages=2");
        assert_eq!(Target::parse("ws://127.0.0.1").unwrap().addr.port(), 80);
        assert!(Target::parse("127.0.0.1").is_err());
        assert!(Target::parse("wss://127.0.0.1/").unwrap_err().to_string().contains("TLS"));
    }
}
