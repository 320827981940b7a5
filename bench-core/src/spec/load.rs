//! What a client does: the workload with all its parameters.

use std::time::Duration;

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{parse_bytes, parse_micros, parse_millis};

use super::{
    flags::{flag_value, flags},
    full::WhenFull,
    role::Role,
    socket::SocketSpec,
    step::Step,
};
use crate::Kind;

/// What a row may offer beside services and workloads: fields of a load that older or other runners need not know.
///
/// At both ends `burn` (`burn_us`), `timers` (several schedules on a connection) and `tls`; of a server `send-buffer`; of
/// a client `stall` (connections that stop reading), `exchanges` (with
/// `count_refusals`), `connect-rate`, `touch`, `slices` (with `delay_ms`), `steps`, `counts` (messages by connection
/// in its report) and `sleep` (the pacing of that name).
pub const FEATURES: &[&str] = &[
    "burn",
    "connect-rate",
    "counts",
    "exchanges",
    "send-buffer",
    "sleep",
    "slices",
    "stall",
    "steps",
    "timers",
    "tls",
    "touch",
];

/// What a connection that has stopped reading sends at once, on loopback: a server with a send buffer of 64 KiB blocks
/// after about 300 KiB of echoes, and a client after more than 2.5 MiB, which is where its own send buffer ends.
const STALLED_BYTES: u64 = 1 << 20;

/// What a message may take beside its payload: its frame's header and what a queue knows about it.
const MESSAGE_OVERHEAD_BYTES: u64 = 128;

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
    /// Messages (paced: over all connections; broadcast: published) or connects (connect) a second that are offered
    #[arg(long = "rate", value_name = "HZ")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u64>,
    /// Steps of a paced load, one after the other, each at a percentage of the rate that the same connections reached in
    /// a closed loop in the warm-up, such as 150%:10s,50%:5s; in place of --rate and --duration
    #[arg(long, value_name = "SHARE:TIME", value_delimiter = ',', value_parser = Step::parse)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Time between the beginning of the measured window and the first message of the load
    #[arg(long = "delay", value_name = "TIME", value_parser = parse_millis, default_value = "0ms")]
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    /// Keep latencies also in consecutive slices of the window, each so long; 0: do not
    #[arg(long = "slice", value_name = "TIME", value_parser = parse_millis, default_value = "0ms")]
    #[serde(skip_serializing_if = "is_zero")]
    pub slice_ms: u64,
    /// CPU time that the server burns for each message before it echoes it
    #[arg(long = "burn", value_name = "TIME", value_parser = parse_micros, default_value = "0us")]
    #[serde(skip_serializing_if = "is_zero")]
    pub burn_us: u64,
    /// Echoes on each connection between its opening and its closing handshake (connect); 0: wait for a first push
    #[arg(long, value_name = "N", default_value_t = 0)]
    #[serde(skip_serializing_if = "is_zero")]
    pub exchanges: u64,
    /// Count connects that are refused, reset or time out, instead of failing at the first (connect)
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    pub count_refusals: bool,
    /// One echo on each connection before the window (idle)
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    pub touch: bool,
    /// Schedules of pushes on each connection, each of which is as long as the one of a connection that has one (push)
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[serde(skip_serializing_if = "is_one")]
    pub timers: u64,
    /// Messages that may wait for a subscriber in the server (broadcast)
    #[arg(long, value_name = "N", default_value_t = QUEUE)]
    #[serde(skip_serializing_if = "is_default_queue")]
    pub queue: u64,
    /// What happens to a message that finds the queue full (broadcast)
    #[arg(long, value_enum, default_value_t)]
    #[serde(skip_serializing_if = "is_wait")]
    pub when_full: WhenFull,
    /// Connections, in percent, that stop reading for a while in the measured window (paced, broadcast)
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    #[serde(skip_serializing_if = "is_zero")]
    pub stall_percent: u64,
    /// When they stop, from the beginning of the window
    #[arg(long = "stall-after", value_name = "TIME", value_parser = parse_millis, default_value = "0ms")]
    #[serde(skip_serializing_if = "is_zero")]
    pub stall_after_ms: u64,
    /// For how long
    #[arg(long = "stall-for", value_name = "TIME", value_parser = parse_millis, default_value = "0ms")]
    #[serde(skip_serializing_if = "is_zero")]
    pub stall_for_ms: u64,
}

/// The queue of a subscriber, unless it is said otherwise.
pub(super) const QUEUE: u64 = 64;

fn is_default_queue(value: &u64) -> bool {
    *value == QUEUE
}

fn is_wait(value: &WhenFull) -> bool {
    *value == WhenFull::Wait
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_one(value: &u64) -> bool {
    *value == 1
}

fn is_false(value: &bool) -> bool {
    !value
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
            steps: Vec::new(),
            delay_ms: 0,
            slice_ms: 0,
            burn_us: 0,
            exchanges: 0,
            count_refusals: false,
            touch: false,
            timers: 1,
            queue: QUEUE,
            when_full: WhenFull::Wait,
            stall_percent: 0,
            stall_after_ms: 0,
            stall_for_ms: 0,
        }
    }
}

impl Load {
    /// Messages of a one-way batch: the seed's 10,000, unless given.
    pub fn batch(&self) -> u64 {
        self.messages.unwrap_or(10_000)
    }

    /// Pushes of each schedule: the seed's 20, unless given.
    pub fn pushes(&self) -> u64 {
        self.messages.unwrap_or(20)
    }

    /// Messages (paced, broadcast) or connects (connect) that a rate offers in the measured window.
    pub fn offered(&self) -> u64 {
        self.rate_per_s.unwrap_or(0).saturating_mul(self.duration_ms) / 1_000
    }

    /// Whether what it does has intended instants, from which latency counts.
    pub fn is_paced(&self) -> bool {
        self.workload == Workload::Paced || self.rate_per_s.is_some()
    }

    /// Length of the measured window after the delay, where time decides.
    pub fn window_ms(&self) -> u64 {
        match &self.steps[..] {
            [] => self.duration_ms,
            steps => steps.iter().map(|step| step.duration_ms).sum(),
        }
    }

    /// Whether the connection of this number is one of those that stop reading for a while. They are spread evenly.
    pub fn stalls(&self, connection: u32) -> bool {
        let before = u64::from(connection) * self.stall_percent / 100;
        (u64::from(connection) + 1) * self.stall_percent / 100 > before
    }

    /// Messages that a connection that has stopped reading sends at once, for what fits on their way: more than the
    /// kernel takes from a server with a small send buffer, and less than what would block the client as well.
    pub fn stalled_messages(&self) -> u64 {
        (STALLED_BYTES / self.payload_bytes.max(1)).max(1)
    }

    /// Connections of the client: a broadcast has one more, which publishes.
    pub fn all_connections(&self) -> u32 {
        self.connections + u32::from(self.workload == Workload::Broadcast)
    }

    /// Most bytes that a server may hold for this load beyond what it had when it was ready: for each connection its
    /// read and its write buffer, and of messages what its queue holds and two on their way.
    pub fn memory_bound_bytes(&self, socket: &SocketSpec) -> u64 {
        let queue = if self.workload == Workload::Broadcast { self.queue } else { 0 };
        let messages = (queue + 2) * (self.payload_bytes + MESSAGE_OVERHEAD_BYTES);
        u64::from(self.all_connections()) * (socket.read_buffer_bytes + socket.write_buffer_bytes + messages)
    }

    /// How long the measured window takes, roughly; for deadlines and progress only.
    pub fn expected(&self) -> Duration {
        let busy = match self.workload {
            Workload::Push => {
                Duration::from_micros(self.every_us.saturating_mul(self.pushes().saturating_sub(1)))
            }
            // A hundred microseconds a message is an order of magnitude above a round trip of a Rust row.
            Workload::Connect | Workload::PingPong | Workload::Window if self.messages.is_some() => {
                let each_us = 100 + self.burn_us;
                let all = self.messages.unwrap_or(0).saturating_mul(u64::from(self.connections));
                Duration::from_micros(all.saturating_mul(each_us))
            }
            _ => Duration::from_millis(self.window_ms()),
        };
        Duration::from_millis(self.delay_ms) + busy
    }

    /// The service that it asks the server for.
    pub fn service(&self) -> &'static str {
        match self.workload {
            Workload::Connect if self.exchanges > 0 => "echo",
            Workload::Connect | Workload::Push => "push",
            Workload::OneWay => "sink",
            // Who has one of them has both.
            Workload::Broadcast => "subscribe",
            Workload::PingPong | Workload::Window | Workload::Idle | Workload::Paced => "echo",
        }
    }

    /// What the row at this end has to offer for this load beside its service and workload, by the names of
    /// [`FEATURES`].
    pub fn needs(&self, role: Role) -> Vec<&'static str> {
        let of_both = [(self.burn_us > 0, "burn"), (self.timers > 1, "timers")];
        let of_clients = [
            (self.exchanges > 0 || self.count_refusals, "exchanges"),
            (self.workload == Workload::Connect && self.rate_per_s.is_some(), "connect-rate"),
            (self.touch, "touch"),
            (self.slice_ms > 0 || self.delay_ms > 0, "slices"),
            (!self.steps.is_empty(), "steps"),
            (self.stall_percent > 0, "stall"),
        ];
        let of_this = of_clients.into_iter().filter(|_| role == Role::Client);
        of_both.into_iter().chain(of_this).filter_map(|(needed, name)| needed.then_some(name)).collect()
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
        // A runner need not know a flag that no load of its own needs: what has its default is not said.
        if !self.steps.is_empty() {
            let steps: Vec<String> = self.steps.iter().map(Step::to_string).collect();
            args.extend(flags(&[("steps", steps.join(","))]));
        }
        for (name, value, unit) in
            [("delay", self.delay_ms, "ms"), ("slice", self.slice_ms, "ms"), ("burn", self.burn_us, "us")]
        {
            if value > 0 {
                args.extend(flags(&[(name, format!("{value}{unit}"))]));
            }
        }
        if self.exchanges > 0 {
            args.extend(flags(&[("exchanges", self.exchanges.to_string())]));
        }
        if self.timers > 1 {
            args.extend(flags(&[("timers", self.timers.to_string())]));
        }
        if self.workload == Workload::Broadcast {
            args.extend(flags(&[
                ("queue", self.queue.to_string()),
                ("when-full", flag_value(self.when_full)),
            ]));
        }
        if self.stall_percent > 0 {
            args.extend(flags(&[
                ("stall-percent", self.stall_percent.to_string()),
                ("stall-after", format!("{}ms", self.stall_after_ms)),
                ("stall-for", format!("{}ms", self.stall_for_ms)),
            ]));
        }
        let switches = [(self.count_refusals, "--count-refusals"), (self.touch, "--touch")];
        args.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.to_owned()));
        args
    }
}

/// What the client does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Opens a connection, upgrades it, waits for a first pushed message or for some echoes and closes; over and over.
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
    /// Publishes at intended instants on one connection, and reads on all others what was published.
    Broadcast,
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
        Workload::Broadcast,
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
