//! What a client does: one type for each workload, with the parameters that mean something to it.

use super::{flags::flag_value, full::WhenFull, step::Step};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a client does, with the parameters of that workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Opens, uses and closes connections.
    Connect(Connect),
    /// A closed loop with one message in flight.
    PingPong(PingPong),
    /// A closed loop with several messages in flight.
    Window(Window),
    /// Batches that are acknowledged.
    OneWay(OneWay),
    /// Waits for pushes.
    Push(Pushes),
    /// Holds open connections.
    Idle(Idle),
    /// Messages at intended instants.
    Paced(Paced),
    /// Messages published at intended instants, and read by subscribers.
    Broadcast(Broadcast),
}

/// Opens a connection, upgrades it, waits for a first push or for some echoes and closes it; over and over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// When the next connection is opened.
    pub pace: ConnectPace,
    /// Echoes on each connection between its opening and its closing handshake; 0: it waits for a first push.
    pub exchanges: u64,
    /// What a connect that is refused, reset or takes too long does to the trial.
    pub refusals: Refusals,
}

/// When the next connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectPace {
    /// After the one before is closed, until so many are done, or until the window ends.
    Closed {
        /// Connects of each of the load's connections.
        messages: Option<u64>,
    },
    /// At intended instants, so many a second over all connections.
    Rate(u64),
}

impl Default for ConnectPace {
    fn default() -> ConnectPace {
        ConnectPace::Closed { messages: None }
    }
}

/// What a connect that is refused, reset or takes too long does to the trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusals {
    /// The first one fails it.
    #[default]
    Fail,
    /// They are counted.
    Count,
}

/// Sends a message and waits for its echo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PingPong {
    /// Stop after so many messages on each connection, instead of at the end of the window.
    pub messages: Option<u64>,
    /// CPU time that the server burns for each message, in microseconds.
    pub burn_us: u64,
}

/// Keeps several messages in flight and sends one for each echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Messages in flight on each connection.
    pub in_flight: u32,
    /// Stop after so many messages on each connection, instead of at the end of the window.
    pub messages: Option<u64>,
    /// CPU time that the server burns for each message, in microseconds.
    pub burn_us: u64,
}

impl Window {
    /// So many messages in flight, until the window ends.
    pub fn of(in_flight: u32) -> Window {
        Window { in_flight, messages: None, burn_us: 0 }
    }
}

/// Sends batches of messages and waits for the server's count at the end of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneWay {
    /// Messages of a batch.
    pub batch: u64,
}

impl Default for OneWay {
    /// The original evaluation's 10,000.
    fn default() -> OneWay {
        OneWay { batch: 10_000 }
    }
}

/// Waits for pushes and takes how late each arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushes {
    /// Pushes of each schedule.
    pub count: u64,
    /// Their distance in microseconds.
    pub every_us: u64,
    /// When they are due.
    pub schedule: Schedule,
    /// Schedules on each connection.
    pub timers: u64,
}

impl Default for Pushes {
    /// The original evaluation's 20, a second apart.
    fn default() -> Pushes {
        Pushes { count: 20, every_us: 1_000_000, schedule: Schedule::OnConnect, timers: 1 }
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

/// Holds open connections and sends nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idle {
    /// Whether each connection does one echo before the window.
    pub touch: bool,
}

/// Sends at intended instants, whatever the answers do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paced {
    /// What it offers.
    pub offer: Offer,
    /// CPU time that the server burns for each message, in microseconds.
    pub burn_us: u64,
    /// The connections that stop reading for a while.
    pub stall: Option<StallPlan>,
}

impl Paced {
    /// So many messages a second over all connections.
    pub fn at(rate_per_s: u64) -> Paced {
        Paced { offer: Offer::Rate(rate_per_s), burn_us: 0, stall: None }
    }
}

/// What a paced load offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Messages a second, over all connections.
    Rate(u64),
    /// Stretches at shares of what the same connections reached in a closed loop.
    Steps(Vec<Step>),
}

/// Publishes at intended instants on one connection, and reads on all others what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Messages published a second.
    pub rate_per_s: u64,
    /// Messages that may wait for a subscriber in the server.
    pub queue: u64,
    /// What happens to a message that finds the queue full.
    pub when_full: WhenFull,
    /// The subscribers that stop reading for a while.
    pub stall: Option<StallPlan>,
}

impl Broadcast {
    /// The queue of a subscriber, unless told otherwise.
    pub const QUEUE: u64 = 64;

    /// So many messages published a second, through queues of the default length.
    pub fn at(rate_per_s: u64) -> Broadcast {
        Broadcast { rate_per_s, queue: Broadcast::QUEUE, when_full: WhenFull::Wait, stall: None }
    }
}

/// Connections that stop reading for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallPlan {
    /// How many, in percent.
    pub percent: u64,
    /// When they stop, from the beginning of the window, in milliseconds.
    pub after_ms: u64,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}

impl StallPlan {
    /// Whether the connection of this number is one of them. They are spread evenly.
    pub fn stalls(&self, connection: u32) -> bool {
        let before = u64::from(connection) * self.percent / 100;
        (u64::from(connection) + 1) * self.percent / 100 > before
    }
}

/// The name of what a client does.
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
