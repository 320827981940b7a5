//! A load as flags, TOML and JSON have it: one flat list.

use std::ffi::OsString;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{parse_bytes, parse_micros, parse_millis};

use super::{
    error::SpecError,
    flags::{flag_value, flags},
    full::WhenFull,
    step::Step,
    work::{
        Broadcast, Connect, ConnectPace, Idle, Offer, OneWay, Paced, PingPong, Pushes, Refusals, Schedule,
        StallPlan, Window, Work, Workload,
    },
};
use crate::socket::Kind;

/// A load as flags, TOML and JSON have it: one flat list, in which each workload has fields of its own.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Load")]
pub struct LoadFlags {
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
    /// Messages (paced: over all connections; broadcast: published) or connects (connect) offered per second
    #[arg(long = "rate", value_name = "HZ")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<u64>,
    /// Steps of a paced load, one after the other, each at a percentage of the rate that the same connections reached in
    /// a closed loop in the warm-up, such as 150%:10s,50%:5s; instead of --rate and --duration
    #[arg(long, value_name = "SHARE:TIME", value_delimiter = ',', value_parser = Step::parse)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Time between the beginning of the measured window and the first message of the load
    #[arg(long = "delay", value_name = "TIME", value_parser = parse_millis, default_value = "0ms")]
    #[serde(skip_serializing_if = "is_default")]
    pub delay_ms: u64,
    /// Keep latencies also in consecutive slices of the window, each so long; 0: do not
    #[arg(long = "slice", value_name = "TIME", value_parser = parse_millis, default_value = "0ms")]
    #[serde(skip_serializing_if = "is_default")]
    pub slice_ms: u64,
    /// CPU time that the server burns for each message before it echoes it
    #[arg(long = "burn", value_name = "TIME", value_parser = parse_micros, default_value = "0us")]
    #[serde(skip_serializing_if = "is_default")]
    pub burn_us: u64,
    /// Echoes on each connection between its opening and its closing handshake (connect); 0: wait for a first push
    #[arg(long, value_name = "N", default_value_t = 0)]
    #[serde(skip_serializing_if = "is_default")]
    pub exchanges: u64,
    /// Count connects that are refused, reset or time out, instead of failing at the first (connect)
    #[arg(long)]
    #[serde(skip_serializing_if = "is_default")]
    pub count_refusals: bool,
    /// One echo on each connection before the window (idle)
    #[arg(long)]
    #[serde(skip_serializing_if = "is_default")]
    pub touch: bool,
    /// Schedules of pushes on each connection, each of which is as long as the one of a connection that has one (push)
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[serde(skip_serializing_if = "is_one")]
    pub timers: u64,
    /// Messages that may wait for a subscriber in the server (broadcast)
    #[arg(long, value_name = "N", default_value_t = Broadcast::QUEUE)]
    #[serde(skip_serializing_if = "is_default_queue")]
    pub queue: u64,
    /// What happens to a message that finds the queue full (broadcast)
    #[arg(long, value_enum, default_value_t)]
    #[serde(skip_serializing_if = "is_default")]
    pub when_full: WhenFull,
    /// Connections, in percent, that stop reading for a while in the measured window (paced, broadcast)
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    #[serde(skip_serializing_if = "is_default")]
    pub stall_percent: u64,
    /// When they stop, from the beginning of the window
    #[arg(long = "stall-after", value_name = "TIME", value_parser = parse_millis, default_value = "0ms")]
    #[serde(skip_serializing_if = "is_default")]
    pub stall_after_ms: u64,
    /// For how long
    #[arg(long = "stall-for", value_name = "TIME", value_parser = parse_millis, default_value = "0ms")]
    #[serde(skip_serializing_if = "is_default")]
    pub stall_for_ms: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_one(value: &u64) -> bool {
    *value == 1
}

fn is_default_queue(value: &u64) -> bool {
    *value == Broadcast::QUEUE
}

impl Default for LoadFlags {
    fn default() -> LoadFlags {
        LoadFlags {
            workload: Workload::PingPong,
            connections: 1,
            payload_bytes: 24,
            kind: Kind::Text,
            window: 1,
            duration_ms: 1_000,
            warm_up_ms: 200,
            messages: None,
            every_us: Pushes::default().every_us,
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
            queue: Broadcast::QUEUE,
            when_full: WhenFull::Wait,
            stall_percent: 0,
            stall_after_ms: 0,
            stall_for_ms: 0,
        }
    }
}

impl LoadFlags {
    /// What the client does, by the fields of its workload. A field of another workload has to have its default.
    pub(super) fn work(&self) -> Result<Work, SpecError> {
        self.refuse_fields_of_others()?;
        let (messages, burn_us) = (self.messages, self.burn_us);
        Ok(match self.workload {
            Workload::Connect => Work::Connect(Connect {
                pace: self.connect_pace()?,
                exchanges: self.exchanges,
                refusals: if self.count_refusals { Refusals::Count } else { Refusals::Fail },
            }),
            Workload::PingPong => Work::PingPong(PingPong { messages, burn_us }),
            Workload::Window => Work::Window(Window { in_flight: self.window, messages, burn_us }),
            Workload::OneWay => Work::OneWay(OneWay { batch: messages.unwrap_or(OneWay::default().batch) }),
            Workload::Push => Work::Push(Pushes {
                count: messages.unwrap_or(Pushes::default().count),
                every_us: self.every_us,
                schedule: self.schedule,
                timers: self.timers,
            }),
            Workload::Idle => Work::Idle(Idle { touch: self.touch }),
            Workload::Paced => Work::Paced(Paced { offer: self.offer()?, burn_us, stall: self.stall()? }),
            Workload::Broadcast => Work::Broadcast(Broadcast {
                rate_per_s: self.broadcast_rate()?,
                queue: self.queue,
                when_full: self.when_full,
                stall: self.stall()?,
            }),
        })
    }

    fn connect_pace(&self) -> Result<ConnectPace, SpecError> {
        match (self.rate_per_s, self.messages) {
            (None, messages) => Ok(ConnectPace::Closed { messages }),
            (Some(rate), None) => Ok(ConnectPace::Rate(rate)),
            (Some(_), Some(_)) => SpecError::misfit(
                "connects at a rate are given by the rate and the duration; leave out --messages",
            ),
        }
    }

    fn offer(&self) -> Result<Offer, SpecError> {
        match (self.rate_per_s, &self.steps[..]) {
            _ if self.messages.is_some() => {
                SpecError::misfit("a paced load is given by its rate and duration; leave out --messages")
            }
            (None, []) => SpecError::misfit(
                "the workload paced needs a rate: --rate, in messages per second over all connections",
            ),
            (Some(rate), []) => Ok(Offer::Rate(rate)),
            (None, steps) => Ok(Offer::Steps(steps.to_vec())),
            (Some(_), _) => SpecError::misfit("steps have rates of their own: give either --rate or --steps"),
        }
    }

    fn broadcast_rate(&self) -> Result<u64, SpecError> {
        match self.rate_per_s {
            _ if self.messages.is_some() => {
                SpecError::misfit("a broadcast is given by its rate and duration; leave out --messages")
            }
            None => SpecError::misfit(
                "the workload broadcast needs a rate: --rate, in messages published per second",
            ),
            Some(rate) => Ok(rate),
        }
    }

    fn stall(&self) -> Result<Option<StallPlan>, SpecError> {
        match self.stall_percent {
            0 if self.stall_after_ms > 0 || self.stall_for_ms > 0 => SpecError::misfit(
                "--stall-after and --stall-for need --stall-percent, which says how many stall",
            ),
            0 => Ok(None),
            percent => {
                Ok(Some(StallPlan { percent, after_ms: self.stall_after_ms, for_ms: self.stall_for_ms }))
            }
        }
    }

    fn refuse_fields_of_others(&self) -> Result<(), SpecError> {
        use Workload::{Broadcast as Broadcasts, Connect as Connects, Idle as Idles, OneWay as OneWays};
        use Workload::{Paced as Pace, PingPong as PingPongs, Push, Window as Windows};

        let stalls = self.stall_percent > 0 || self.stall_after_ms > 0 || self.stall_for_ms > 0;
        let pushes = self.every_us != Pushes::default().every_us || self.schedule != Schedule::OnConnect;
        let fields: [(bool, &'static str, &[Workload]); 13] = [
            (self.window != 1, "windows of other sizes than 1", &[Windows]),
            (
                self.messages.is_some() && self.workload == Idles,
                "messages",
                &[Connects, PingPongs, Windows, OneWays, Push],
            ),
            (self.rate_per_s.is_some(), "rates", &[Pace, Connects, Broadcasts]),
            (!self.steps.is_empty(), "steps", &[Pace]),
            (pushes, "the period and the schedule of pushes", &[Push]),
            (self.timers != 1, "timers", &[Push]),
            (self.exchanges > 0 || self.count_refusals, "exchanges and counted refusals", &[Connects]),
            (self.touch, "touched connections", &[Idles]),
            (self.burn_us > 0, "burning handlers", &[PingPongs, Windows, Pace]),
            (self.slice_ms > 0, "slices", &[PingPongs, Windows, Pace, Push, Connects, Broadcasts]),
            (stalls, "stalled connections", &[Pace, Broadcasts]),
            (
                self.when_full != WhenFull::Wait || self.queue != Broadcast::QUEUE,
                "queues and policies for a full one",
                &[Broadcasts],
            ),
            // A push has an instant of its own, agreed before the window.
            (self.delay_ms > 0, "delays", &[Connects, PingPongs, Windows, OneWays, Pace]),
        ];
        match fields.into_iter().find(|(given, _, having)| *given && !having.contains(&self.workload)) {
            None => Ok(()),
            Some((_, what, having)) => {
                let names: Vec<String> =
                    having.iter().map(|workload| format!("`{}`", workload.name())).collect();
                let (workload, having) = (self.workload.name(), names.join(", "));
                Err(SpecError::OtherWorkload { what, workload, having })
            }
        }
    }

    /// These fields with those of a workload.
    pub(super) fn with(self, work: Work) -> LoadFlags {
        match work {
            Work::Connect(Connect { pace, exchanges, refusals }) => {
                let (rate_per_s, messages) = match pace {
                    ConnectPace::Rate(rate) => (Some(rate), None),
                    ConnectPace::Closed { messages } => (None, messages),
                };
                let count_refusals = refusals == Refusals::Count;
                LoadFlags {
                    workload: Workload::Connect,
                    rate_per_s,
                    messages,
                    exchanges,
                    count_refusals,
                    ..self
                }
            }
            Work::PingPong(PingPong { messages, burn_us }) => {
                LoadFlags { workload: Workload::PingPong, messages, burn_us, ..self }
            }
            Work::Window(Window { in_flight, messages, burn_us }) => {
                LoadFlags { workload: Workload::Window, window: in_flight, messages, burn_us, ..self }
            }
            Work::OneWay(OneWay { batch }) => {
                LoadFlags { workload: Workload::OneWay, messages: Some(batch), ..self }
            }
            Work::Push(Pushes { count, every_us, schedule, timers }) => LoadFlags {
                workload: Workload::Push,
                messages: Some(count),
                every_us,
                schedule,
                timers,
                ..self
            },
            Work::Idle(Idle { touch }) => LoadFlags { workload: Workload::Idle, touch, ..self },
            Work::Paced(Paced { offer, burn_us, stall }) => {
                let (rate_per_s, steps) = match offer {
                    Offer::Rate(rate) => (Some(rate), Vec::new()),
                    Offer::Steps(steps) => (None, steps),
                };
                LoadFlags { workload: Workload::Paced, rate_per_s, steps, burn_us, ..self }.stalled(stall)
            }
            Work::Broadcast(Broadcast { rate_per_s, queue, when_full, stall }) => LoadFlags {
                workload: Workload::Broadcast,
                rate_per_s: Some(rate_per_s),
                queue,
                when_full,
                ..self
            }
            .stalled(stall),
        }
    }

    fn stalled(self, stall: Option<StallPlan>) -> LoadFlags {
        match stall {
            None => self,
            Some(StallPlan { percent, after_ms, for_ms }) => {
                LoadFlags { stall_percent: percent, stall_after_ms: after_ms, stall_for_ms: for_ms, ..self }
            }
        }
    }

    /// The flags of `drive` that say the same. A runner need not know a flag that no load of its own needs: what has its
    /// default is not said.
    pub(super) fn to_args(&self) -> Vec<OsString> {
        let always = [
            ("workload", self.workload.name()),
            ("connections", self.connections.to_string()),
            ("payload", self.payload_bytes.to_string()),
            ("kind", flag_value(self.kind)),
            ("window", self.window.to_string()),
            ("duration", format!("{}ms", self.duration_ms)),
            ("warm-up", format!("{}ms", self.warm_up_ms)),
            ("every", format!("{}us", self.every_us)),
            ("schedule", flag_value(self.schedule)),
        ];
        let steps: Vec<String> = self.steps.iter().map(Step::to_string).collect();
        let is_broadcast = self.workload == Workload::Broadcast;
        let stalls = self.stall_percent > 0;
        let where_needed = [
            (self.messages.is_some(), "messages", self.messages.unwrap_or(0).to_string()),
            (self.rate_per_s.is_some(), "rate", self.rate_per_s.unwrap_or(0).to_string()),
            (!steps.is_empty(), "steps", steps.join(",")),
            (self.delay_ms > 0, "delay", format!("{}ms", self.delay_ms)),
            (self.slice_ms > 0, "slice", format!("{}ms", self.slice_ms)),
            (self.burn_us > 0, "burn", format!("{}us", self.burn_us)),
            (self.exchanges > 0, "exchanges", self.exchanges.to_string()),
            (self.timers > 1, "timers", self.timers.to_string()),
            (is_broadcast, "queue", self.queue.to_string()),
            (is_broadcast, "when-full", flag_value(self.when_full)),
            (stalls, "stall-percent", self.stall_percent.to_string()),
            (stalls, "stall-after", format!("{}ms", self.stall_after_ms)),
            (stalls, "stall-for", format!("{}ms", self.stall_for_ms)),
        ];
        let needed =
            where_needed.into_iter().filter(|(needed, ..)| *needed).map(|(_, name, value)| (name, value));
        let mut args = flags(&always.into_iter().chain(needed).collect::<Vec<_>>());
        let switches = [(self.count_refusals, "--count-refusals"), (self.touch, "--touch")];
        args.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.into()));
        args
    }
}
