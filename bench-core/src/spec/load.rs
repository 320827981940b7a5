//! What a client asks of a server: a workload, and what is common to all of them.

use std::{collections::BTreeSet, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    error::SpecError,
    feature::Feature,
    load_flags::LoadFlags,
    role::Role,
    socket::SocketSpec,
    step::Step,
    work::{Connect, ConnectPace, Offer, PingPong, Refusals, StallPlan, Window, Work, Workload},
};
use crate::socket::Kind;

/// What a connection that has stopped reading sends at once, on loopback: a server with a send buffer of 64 KiB blocks
/// after about 300 KiB of echoes, and a client after more than 2.5 MiB, which is where its own send buffer ends.
const STALLED_BYTES: u64 = 1 << 20;

/// What a message may take beside its payload: its frame's header and what a queue knows about it.
const MESSAGE_OVERHEAD_BYTES: u64 = 128;

/// What a client asks of a server: a workload, and what is common to all of them.
///
/// Flags, TOML and JSON have all of it in one flat list, [`LoadFlags`], which is parsed into this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "LoadFlags", into = "LoadFlags")]
pub struct Load {
    /// Connections that are open at the same time.
    pub connections: u32,
    /// Size of a message in bytes.
    pub payload_bytes: u64,
    /// Text or binary messages.
    pub kind: Kind,
    /// Length of the measured window in milliseconds, where time decides.
    pub duration_ms: u64,
    /// Length of the same load before the measured window, in milliseconds; not counted.
    pub warm_up_ms: u64,
    /// Time between the beginning of the measured window and the first message, in milliseconds.
    pub delay_ms: u64,
    /// Length of the slices in which latencies are kept as well, in milliseconds; 0: they are not.
    pub slice_ms: u64,
    /// What the client does.
    pub work: Work,
}

impl Default for Load {
    fn default() -> Load {
        Load {
            connections: 1,
            payload_bytes: 24,
            kind: Kind::Text,
            duration_ms: 1_000,
            warm_up_ms: 200,
            delay_ms: 0,
            slice_ms: 0,
            work: Work::PingPong(PingPong::default()),
        }
    }
}

impl TryFrom<LoadFlags> for Load {
    type Error = SpecError;

    fn try_from(flags: LoadFlags) -> Result<Load, SpecError> {
        let work = flags.work()?;
        Ok(Load {
            connections: flags.connections,
            payload_bytes: flags.payload_bytes,
            kind: flags.kind,
            duration_ms: flags.duration_ms,
            warm_up_ms: flags.warm_up_ms,
            delay_ms: flags.delay_ms,
            slice_ms: flags.slice_ms,
            work,
        })
    }
}

impl From<Load> for LoadFlags {
    fn from(load: Load) -> LoadFlags {
        let Load { connections, payload_bytes, kind, duration_ms, warm_up_ms, delay_ms, slice_ms, work } =
            load;
        let common = LoadFlags {
            connections,
            payload_bytes,
            kind,
            duration_ms,
            warm_up_ms,
            delay_ms,
            slice_ms,
            ..LoadFlags::default()
        };
        common.with(work)
    }
}

impl Load {
    /// The name of what it does.
    pub fn workload(&self) -> Workload {
        match self.work {
            Work::Connect(_) => Workload::Connect,
            Work::PingPong(_) => Workload::PingPong,
            Work::Window(_) => Workload::Window,
            Work::OneWay(_) => Workload::OneWay,
            Work::Push(_) => Workload::Push,
            Work::Idle(_) => Workload::Idle,
            Work::Paced(_) => Workload::Paced,
            Work::Broadcast(_) => Workload::Broadcast,
        }
    }

    /// What it offers a second, where that is given: messages (broadcast: published), or connects.
    pub fn rate_per_s(&self) -> Option<u64> {
        match &self.work {
            Work::Connect(Connect { pace: ConnectPace::Rate(rate), .. }) => Some(*rate),
            Work::Paced(paced) => match paced.offer {
                Offer::Rate(rate) => Some(rate),
                Offer::Steps(_) => None,
            },
            Work::Broadcast(broadcast) => Some(broadcast.rate_per_s),
            _ => None,
        }
    }

    /// The same load at another rate; unchanged where it has none.
    pub fn at_rate(&self, rate_per_s: u64) -> Load {
        let mut load = self.clone();
        match &mut load.work {
            Work::Connect(connect) => connect.pace = ConnectPace::Rate(rate_per_s),
            Work::Paced(paced) => paced.offer = Offer::Rate(rate_per_s),
            Work::Broadcast(broadcast) => broadcast.rate_per_s = rate_per_s,
            _ => {}
        }
        load
    }

    /// The steps of a paced load that has them.
    pub fn steps(&self) -> &[Step] {
        match &self.work {
            Work::Paced(paced) => match &paced.offer {
                Offer::Steps(steps) => steps,
                Offer::Rate(_) => &[],
            },
            _ => &[],
        }
    }

    /// Messages or connects on each connection after which a closed loop stops, where not time decides.
    pub fn messages(&self) -> Option<u64> {
        match self.work {
            Work::Connect(Connect { pace: ConnectPace::Closed { messages }, .. }) => messages,
            Work::PingPong(PingPong { messages, .. }) | Work::Window(Window { messages, .. }) => messages,
            _ => None,
        }
    }

    /// CPU time that the server burns for each message, in microseconds.
    pub fn burn_us(&self) -> u64 {
        match &self.work {
            Work::PingPong(PingPong { burn_us, .. }) | Work::Window(Window { burn_us, .. }) => *burn_us,
            Work::Paced(paced) => paced.burn_us,
            _ => 0,
        }
    }

    /// The connections that stop reading for a while, where some do.
    pub fn stall(&self) -> Option<StallPlan> {
        match &self.work {
            Work::Paced(paced) => paced.stall,
            Work::Broadcast(broadcast) => broadcast.stall,
            _ => None,
        }
    }

    /// Messages (paced, broadcast) or connects (connect) that a rate offers in the measured window.
    pub fn offered(&self) -> u64 {
        self.rate_per_s().unwrap_or(0).saturating_mul(self.duration_ms) / 1_000
    }

    /// Whether what it does has intended instants, from which latency counts.
    pub fn is_paced(&self) -> bool {
        matches!(
            self.work,
            Work::Paced(_) | Work::Broadcast(_) | Work::Connect(Connect { pace: ConnectPace::Rate(_), .. })
        )
    }

    /// Length of the measured window after the delay, in milliseconds, where time decides.
    pub fn window_ms(&self) -> u64 {
        match self.steps() {
            [] => self.duration_ms,
            steps => steps.iter().map(|step| step.duration_ms).sum(),
        }
    }

    /// Messages that a connection that has stopped reading sends at once, for what fits on their way: more than the
    /// kernel takes from a server with a small send buffer, and less than what would block the client as well.
    pub fn stalled_messages(&self) -> u64 {
        (STALLED_BYTES / self.payload_bytes.max(1)).max(1)
    }

    /// Connections of the client: a broadcast has one more, which publishes.
    pub fn all_connections(&self) -> u32 {
        self.connections + u32::from(matches!(self.work, Work::Broadcast(_)))
    }

    /// Most bytes that a server may hold for this load beyond what it had when it was ready: for each connection its
    /// read and its write buffer, and of messages what its queue holds and two on their way.
    pub fn memory_bound_bytes(&self, socket: &SocketSpec) -> u64 {
        let queue = match &self.work {
            Work::Broadcast(broadcast) => broadcast.queue,
            _ => 0,
        };
        let messages = (queue + 2) * (self.payload_bytes + MESSAGE_OVERHEAD_BYTES);
        u64::from(self.all_connections()) * (socket.read_buffer_bytes + socket.write_buffer_bytes + messages)
    }

    /// How long the measured window takes, roughly; for deadlines and progress only.
    pub fn expected(&self) -> Duration {
        let busy = match (&self.work, self.messages()) {
            (Work::Push(pushes), _) => {
                Duration::from_micros(pushes.every_us.saturating_mul(pushes.count.saturating_sub(1)))
            }
            // A hundred microseconds a message is an order of magnitude above a round trip of a Rust row.
            (_, Some(messages)) => {
                let each_us = 100 + self.burn_us();
                let all = messages.saturating_mul(u64::from(self.connections));
                Duration::from_micros(all.saturating_mul(each_us))
            }
            (_, None) => Duration::from_millis(self.window_ms()),
        };
        Duration::from_millis(self.delay_ms) + busy
    }

    /// How long it keeps a connection still at most, in milliseconds.
    pub(super) fn silence_ms(&self) -> u64 {
        match &self.work {
            Work::Idle(_) => self.duration_ms,
            Work::Push(pushes) => pushes.every_us / 1_000,
            // A subscriber is still between two messages, or for as long as it does not read.
            Work::Broadcast(broadcast) => {
                (1_000 / broadcast.rate_per_s.max(1)).max(broadcast.stall.map_or(0, |stall| stall.for_ms))
            }
            Work::Paced(_) => {
                self.rate_per_s().map_or(0, |rate| u64::from(self.connections) * 1_000 / rate.max(1))
            }
            Work::Connect(_) | Work::PingPong(_) | Work::Window(_) | Work::OneWay(_) => 0,
        }
    }

    /// The service that it asks the server for.
    pub fn service(&self) -> &'static str {
        match &self.work {
            Work::Connect(connect) if connect.exchanges > 0 => "echo",
            Work::Connect(_) | Work::Push(_) => "push",
            Work::OneWay(_) => "sink",
            // Who has one of them has both.
            Work::Broadcast(_) => "subscribe",
            Work::PingPong(_) | Work::Window(_) | Work::Idle(_) | Work::Paced(_) => "echo",
        }
    }

    /// What the row at this end has to offer for this load beyond its service and workload.
    pub fn needs(&self, role: Role) -> BTreeSet<Feature> {
        let mut of_both = BTreeSet::new();
        if self.burn_us() > 0 {
            of_both.insert(Feature::Burn);
        }
        if matches!(&self.work, Work::Push(pushes) if pushes.timers > 1) {
            of_both.insert(Feature::Timers);
        }
        match role {
            Role::Server => of_both,
            Role::Client => of_both.into_iter().chain(self.of_client()).collect(),
        }
    }

    fn of_client(&self) -> Vec<Feature> {
        let mut needed = Vec::new();
        match &self.work {
            Work::Connect(connect) => {
                if connect.exchanges > 0 || connect.refusals == Refusals::Count {
                    needed.push(Feature::Exchanges);
                }
                if matches!(connect.pace, ConnectPace::Rate(_)) {
                    needed.push(Feature::ConnectRate);
                }
            }
            Work::Idle(idle) if idle.touch => needed.push(Feature::Touch),
            Work::Paced(paced) if matches!(paced.offer, Offer::Steps(_)) => needed.push(Feature::Steps),
            _ => {}
        }
        if self.slice_ms > 0 || self.delay_ms > 0 {
            needed.push(Feature::Slices);
        }
        if self.stall().is_some() {
            needed.push(Feature::Stall);
        }
        needed
    }
}
