//! Specifications: everything that decides what a server or a client does in one trial.
//!
//! The same types are the flags of a runner, the fields of a scenario and part of every record. Whatever stands here
//! is equal for all rows of a comparison.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod full;
mod load;
mod parse;
mod step;
mod target;
mod validate;

pub use full::WhenFull;
pub use load::{FEATURES, Load, MAX_CONNECTIONS, MAX_IN_FLIGHT_BYTES, Schedule, Workload};
use parse::{flag_value, flags, in_range};
pub use parse::{parse_bytes, parse_micros, parse_millis};
pub use step::Step;
pub use target::{Scheme, Target};

/// Longest measured window or warm-up. Anything longer is a soak test and not a trial.
const MAX_DURATION_MS: u64 = 3_600_000;

/// Longest idle timeout: more than a day is none.
const MAX_IDLE_MS: u64 = 24 * MAX_DURATION_MS;

/// Most connections that a server has at the same time, unless told otherwise: more than any scenario opens.
pub const SERVED_CONNECTIONS: u64 = 65_536;

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
    /// Longest time for an opening handshake
    #[arg(long = "handshake-timeout", value_name = "TIME", value_parser = parse_millis, default_value = "10s")]
    pub handshake_timeout_ms: u64,
    /// A server ends a connection on which nothing was read or written for this long; what a peer does not read counts
    /// as not written. It may take a quarter longer, because connections are looked at now and then
    #[arg(long = "idle-timeout", value_name = "TIME", value_parser = parse_millis, default_value = "5m")]
    pub idle_timeout_ms: u64,
    /// Longest time for a closing handshake that this end has begun
    #[arg(long = "close-timeout", value_name = "TIME", value_parser = parse_millis, default_value = "10s")]
    pub close_timeout_ms: u64,
    /// Send buffer of the server's sockets in the kernel; the kernel's own sizes when not given
    #[arg(long = "send-buffer", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer_bytes: Option<u64>,
    /// Under TLS: 1.3, with TLS13_AES_128_GCM_SHA256 and X25519, and no resumed sessions
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
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
            // Longer than the pings of any usual client are apart, and than any scenario keeps still.
            idle_timeout_ms: 300_000,
            close_timeout_ms: 10_000,
            send_buffer_bytes: None,
            tls: false,
        }
    }
}

impl SocketSpec {
    /// Longest time for an opening handshake.
    pub fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    /// Time after which a server ends a connection on which nothing happens.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// Longest time for a closing handshake that this end has begun.
    pub fn close_timeout(&self) -> Duration {
        Duration::from_millis(self.close_timeout_ms)
    }

    /// A connection that a load keeps still for longer would be ended as an idle one.
    fn allows_silence_of(&self, load: &Load) -> Result<(), String> {
        let silence_ms = match load.workload {
            Workload::Idle => load.duration_ms,
            Workload::Push => load.every_us / 1_000,
            // A subscriber is still between two messages, or for as long as it does not read.
            Workload::Broadcast => (1_000 / load.rate_per_s.unwrap_or(1).max(1)).max(load.stall_for_ms),
            Workload::Paced => {
                load.rate_per_s.map_or(0, |rate| u64::from(load.connections) * 1_000 / rate.max(1))
            }
            _ => 0,
        };
        if silence_ms < self.idle_timeout_ms {
            return Ok(());
        }
        Err(format!(
            "this load keeps a connection still for {silence_ms} ms, and a server ends one that is still for {} ms: give a \
             longer --idle-timeout",
            self.idle_timeout_ms
        ))
    }

    fn to_args(&self) -> Vec<String> {
        let mut args = flags(&[
            ("read-buffer", self.read_buffer_bytes.to_string()),
            ("write-buffer", self.write_buffer_bytes.to_string()),
            ("max-message", self.max_message_bytes.to_string()),
            ("max-frame", self.max_frame_bytes.to_string()),
            ("flush", flag_value(self.flush)),
            ("handshake-timeout", format!("{}ms", self.handshake_timeout_ms)),
            ("idle-timeout", format!("{}ms", self.idle_timeout_ms)),
            ("close-timeout", format!("{}ms", self.close_timeout_ms)),
        ]);
        if let Some(bytes) = self.send_buffer_bytes {
            args.extend(flags(&[("send-buffer", bytes.to_string())]));
        }
        if self.tls {
            args.push("--tls".to_owned());
        }
        args
    }

    fn validate(&self) -> Result<(), String> {
        in_range("read buffer", self.read_buffer_bytes, 64, 64 << 20, "B")?;
        in_range("write buffer", self.write_buffer_bytes, 64, 64 << 20, "B")?;
        in_range("largest message", self.max_message_bytes, 64, 1 << 30, "B")?;
        in_range("largest frame", self.max_frame_bytes, 64, 1 << 30, "B")?;
        if let Some(bytes) = self.send_buffer_bytes {
            in_range("send buffer", bytes, 4 << 10, 64 << 20, "B")?;
        }
        in_range("handshake timeout", self.handshake_timeout_ms, 1, MAX_DURATION_MS, "ms")?;
        in_range("idle timeout", self.idle_timeout_ms, 1, MAX_IDLE_MS, "ms")?;
        in_range("close timeout", self.close_timeout_ms, 1, MAX_DURATION_MS, "ms")
    }
}

/// What a paced client waits with for the instants at which it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// The runtime's timers, whose lateness is part of the result.
    #[default]
    Timers,
    /// The client's own: it spins until the next instant, within microseconds, and takes its core whole.
    Spin,
    /// The client's own: a thread that sleeps until the next instant, for a core that another process needs as well.
    Sleep,
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
    /// Connections at the same time; one more is accepted and ended at once
    #[arg(long, value_name = "N", default_value_t = SERVED_CONNECTIONS)]
    pub max_connections: u64,
    /// Certificate of a server under TLS, a file in PEM
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key that belongs to it, a file in PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Settings of every connection.
    #[command(flatten)]
    pub socket: SocketSpec,
}

impl ServeSpec {
    /// A server on a port of the system's choice that only this machine reaches.
    pub fn on_loopback(threads: u32, socket: SocketSpec) -> ServeSpec {
        ServeSpec {
            listen: ([127, 0, 0, 1], 0).into(),
            threads,
            max_connections: SERVED_CONNECTIONS,
            tls_cert: None,
            tls_key: None,
            socket,
        }
    }

    /// The flags of `serve` that say the same.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = flags(&[
            ("listen", self.listen.to_string()),
            ("threads", self.threads.to_string()),
            ("max-connections", self.max_connections.to_string()),
        ]);
        args.extend(file("tls-cert", self.tls_cert.as_ref()));
        args.extend(file("tls-key", self.tls_key.as_ref()));
        args.extend(self.socket.to_args());
        args
    }

    /// Checks the values.
    ///
    /// # Errors
    /// One line with the value, the range and the reason.
    pub fn validate(&self) -> Result<(), String> {
        in_range("threads", self.threads.into(), 1, 1024, "")?;
        in_range("connections", self.max_connections, 1, u32::MAX.into(), "")?;
        if self.socket.tls && (self.tls_cert.is_none() || self.tls_key.is_none()) {
            return Err(
                "a server under TLS needs a certificate and its key: --tls-cert and --tls-key".to_owned()
            );
        }
        self.socket.validate()
    }
}

/// Everything that decides what a client does.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize, JsonSchema)]
pub struct DriveSpec {
    /// Where the server listens: HOST:PORT, or ws://HOST:PORT/PATH (under TLS wss://…) for an echo service at another
    /// path
    #[arg(long, value_name = "ADDR")]
    pub target: String,
    /// Worker threads of the runtime
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// What a load with intended instants waits with
    #[arg(long, value_enum, default_value_t)]
    pub pacing: Pacing,
    /// Certificate that is trusted under TLS, and no other: a file in PEM
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
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
        if self.load.is_paced() {
            args.extend(flags(&[("pacing", flag_value(self.pacing))]));
        }
        args.extend(file("tls-cert", self.tls_cert.as_ref()));
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
        let target = Target::parse(&self.target).map_err(|error| format!("{error:#}"))?;
        match (self.socket.tls, &self.tls_cert) {
            (true, None) => {
                Err("a client under TLS needs the certificate that it trusts: --tls-cert".to_owned())
            }
            (false, _) if target.scheme == Some(Scheme::Wss) => {
                Err(format!("`{}` asks for TLS: give --tls as well", self.target))
            }
            (true, _) if target.scheme == Some(Scheme::Ws) => {
                Err(format!("`{}` is without TLS: leave out --tls, or use wss://", self.target))
            }
            _ => Ok(()),
        }
    }
}

fn file(flag: &str, path: Option<&PathBuf>) -> Vec<String> {
    path.map_or_else(Vec::new, |path| flags(&[(flag, path.display().to_string())]))
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
        let paced = "--target 127.0.0.1:9 --workload paced --rate 500 --pacing spin";
        let paced = drive(&paced.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!((paced.load.offered(), paced.pacing), (500, Pacing::Spin));
        assert_eq!(drive(&paced.to_args()), paced);
        let steps = "--target 127.0.0.1:9 --workload paced --steps 50%:3s,150%:10s --slice 250ms --burn 20us";
        let steps = drive(&steps.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!((steps.load.window_ms(), steps.load.steps[1].percent_of_capacity), (13_000, 150));
        assert_eq!(drive(&steps.to_args()), steps);
        assert!(steps.validate().is_ok());
        let connects =
            "--target 127.0.0.1:9 --workload connect --rate 50 --exchanges 3 --count-refusals --delay 20ms";
        let connects = drive(&connects.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(drive(&connects.to_args()), connects);
        for others in [
            "--workload idle --touch",
            "--workload push --timers 7",
            "--workload broadcast --rate 5 --queue 3 --when-full drop --stall-percent 10 --stall-after 1s --stall-for 2s",
            "--tls --tls-cert /some/where.pem --send-buffer 64KiB",
        ] {
            let others = drive(
                &format!("--target 127.0.0.1:9 {others}")
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            );
            assert_eq!(drive(&others.to_args()), others);
        }
        let defaults = drive(&["--target".to_owned(), "[::1]:1".to_owned()]);
        assert_eq!(defaults.load, Load::default());
        // What an older runner does not know is not said where it is not needed.
        for flag in [
            "steps",
            "delay",
            "slice",
            "burn",
            "exchanges",
            "count-refusals",
            "touch",
            "timers",
            "tls",
            "queue",
        ] {
            assert!(!defaults.to_args().contains(&format!("--{flag}")), "{flag}");
        }
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
        assert!(refusal(|load| load.workload = Workload::Paced).contains("needs a rate"));
        assert!(refusal(|load| load.rate_per_s = Some(5)).contains("only `paced`"));
        let rate = |rate| {
            refusal(|load| {
                (load.workload, load.rate_per_s, load.duration_ms) = (Workload::Paced, Some(rate), 100);
            })
        };
        assert!(rate(0).contains("rate: 0") && rate(9).contains("no message at all"));
        let still = refusal(|load| (load.workload, load.duration_ms) = (Workload::Idle, 600_000));
        assert!(still.contains("still for 600000 ms") && still.contains("--idle-timeout"));
    }

    #[test]
    fn fields_belong_to_their_workloads() {
        let of = |workload, change: fn(&mut Load)| {
            refusal(|load| {
                load.workload = workload;
                change(load);
            })
        };
        use Workload::{Connect, Idle, Paced, PingPong, Push};
        assert!(of(PingPong, |load| load.exchanges = 1).contains("only `connect`"));
        assert!(of(PingPong, |load| load.touch = true).contains("only `idle`"));
        assert!(of(Idle, |load| load.timers = 2).contains("only `push`"));
        assert!(of(Push, |load| load.delay_ms = 1).contains("delays mean nothing"));
        assert!(of(Connect, |load| load.burn_us = 1).contains("burning handlers"));
        assert!(of(PingPong, |load| load.slice_ms = 1).contains("slices: 1000"));
        assert!(of(Push, |load| load.stall_percent = 5).contains("only `paced`, `broadcast`"));
        assert!(of(PingPong, |load| load.when_full = WhenFull::Drop).contains("only `broadcast`"));
        assert!(of(Workload::Broadcast, |load| load.payload_bytes = 24).contains("needs a rate"));
        let broadcast = |change: fn(&mut Load)| {
            let mut load = Load { workload: Workload::Broadcast, rate_per_s: Some(10), ..Load::default() };
            change(&mut load);
            load.validate(&SocketSpec::default()).unwrap_err()
        };
        assert!(broadcast(|load| load.payload_bytes = 20).contains("24 to"));
        assert!(broadcast(|load| load.queue = 0).contains("queue: 0"));
        assert!(broadcast(|load| load.stall_percent = 101).contains("101 %"));
        let step = Step { percent_of_capacity: 50, duration_ms: 100 };
        let steps = |load: &mut Load| load.steps = vec![step];
        let mut load = Load { workload: Paced, ..Load::default() };
        steps(&mut load);
        assert_eq!(load.validate(&SocketSpec::default()), Ok(()));
        load.warm_up_ms = 0;
        assert!(load.validate(&SocketSpec::default()).unwrap_err().contains("a warm-up is needed"));
        load.rate_per_s = Some(5);
        assert!(load.validate(&SocketSpec::default()).unwrap_err().contains("either --rate or --steps"));
        assert!(Step::parse("0%:1s").unwrap_err().contains("share of the capacity: 0"));
        for wrong in ["50:1s", "50%", "x%:1s", "50%:1"] {
            assert!(Step::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stalled_connections_are_spread_evenly() {
        let stalled = |connections: u32, stall_percent: u64| {
            let load = Load { stall_percent, ..Load::default() };
            (0..connections).filter(|connection| load.stalls(*connection)).collect::<Vec<_>>()
        };
        assert_eq!(stalled(100, 1), [99]);
        assert_eq!(stalled(10, 20), [4, 9]);
        assert_eq!(stalled(100, 50).len(), 50);
        assert!(stalled(100, 0).is_empty());
    }

    #[test]
    fn tls_needs_its_certificate() {
        let with = |flags: &str| {
            let args = format!("--target {flags}");
            drive(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).validate()
        };
        assert!(with("127.0.0.1:9 --tls").unwrap_err().contains("--tls-cert"));
        assert_eq!(with("127.0.0.1:9 --tls --tls-cert x"), Ok(()));
        assert_eq!(with("wss://127.0.0.1:9/ --tls --tls-cert x"), Ok(()));
        assert!(with("wss://127.0.0.1:9/").unwrap_err().contains("give --tls"));
        assert!(with("ws://127.0.0.1:9/ --tls --tls-cert x").unwrap_err().contains("without TLS"));
    }

    #[test]
    fn targets() {
        let plain = Target::parse("127.0.0.1:80").unwrap();
        assert_eq!(plain.url("/echo", false), "ws://127.0.0.1:80/echo");
        assert_eq!(plain.url("/echo", true), "wss://127.0.0.1:80/echo");
        let other = Target::parse("ws://127.0.0.1:9001/chat?x=1").unwrap();
        assert_eq!(other.url("/echo", false), "ws://127.0.0.1:9001/chat?x=1");
        assert_eq!(other.url("/sink?messages=2", false), "ws://127.0.0.1:9001/sink?messages=2");
        assert_eq!(Target::parse("ws://127.0.0.1").unwrap().addr.port(), 80);
        assert!(Target::parse("127.0.0.1").is_err());
        let secured = Target::parse("wss://127.0.0.1/chat").unwrap();
        assert_eq!((secured.addr.port(), secured.scheme), (443, Some(Scheme::Wss)));
    }
}
