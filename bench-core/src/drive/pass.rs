//! One pass over a load, the warm-up or the measured window: what each connection does in it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    connection::PUBLISHER,
    task::{Exchange, Part},
};
use crate::{
    payload::Class,
    spec::{Load, Offer, WhenFull, Work},
    workload::{Audience, Pace, Stall, Stop, Stretch},
};

/// How long after its end a paced load may still send what it is behind with.
const CATCH_UP: Duration = Duration::from_secs(1);

/// One pass over a load.
pub(super) struct Pass {
    pub(super) load: Load,
    pub(super) class: Class,
    pub(super) start: Instant,
    pub(super) stop: Stop,
    /// Whether connections read while they have nothing to do.
    pub(super) listens: bool,
    /// The rates, one after the other; none where the load has no intended instants.
    stretches: Arc<[Stretch]>,
    /// What the subscribers of a broadcast share.
    audience: Arc<Audience>,
}

impl Pass {
    /// A pass from `start` to `stop`, whose steps are shares of a capacity.
    pub(super) fn new(
        load: Load,
        class: Class,
        start: Instant,
        stop: Stop,
        capacity_per_s: Option<u64>,
    ) -> Pass {
        let stretches: Arc<[Stretch]> = stretches(&load, start, stop, capacity_per_s).into();
        let audience = Arc::new(Audience::new(0, 0));
        let mut pass = Pass { load, class, start, stop, listens: false, stretches, audience };
        if let Work::Broadcast(_) = pass.load.work {
            let all = PUBLISHER + 1..pass.load.all_connections();
            let listening = all.filter(|index| pass.stall(*index).is_none()).count();
            let messages = pass.stretches.iter().map(|stretch| stretch.messages).sum();
            pass.audience = Arc::new(Audience::new(listening as u32, messages));
        }
        pass
    }

    /// When a connection begins, where the load has a delay.
    pub(super) fn begins(&self) -> Option<Instant> {
        (self.load.delay_ms > 0 && self.class == Class::Measured).then_some(self.start)
    }

    /// Whether connections wait for intended instants.
    pub(super) fn is_paced(&self) -> bool {
        !self.stretches.is_empty()
    }

    /// What the connection of this number does.
    pub(super) fn part(&self, index: u32) -> Part {
        let exchange = match &self.load.work {
            Work::Connect(work) => return Part::Connect { work: *work, pace: self.pace(index) },
            Work::Idle(_) if self.listens => return Part::Listen,
            Work::Idle(_) => return Part::Idle,
            Work::PingPong(_) => Exchange::PingPong,
            Work::Window(window) => Exchange::Window { in_flight: window.in_flight },
            Work::OneWay(one_way) => Exchange::OneWay { batch: one_way.batch },
            Work::Push(_) => Exchange::Push,
            Work::Paced(_) => match self.pace(index) {
                Some(pace) => Exchange::Paced { pace, stall: self.stall(index), listens: self.listens },
                None => return Part::Idle,
            },
            Work::Broadcast(broadcast) => match self.pace(index) {
                Some(pace) if index == PUBLISHER => Exchange::Publish { pace },
                _ => Exchange::Subscribe {
                    audience: self.audience.clone(),
                    when_full: match self.class {
                        Class::Measured => broadcast.when_full,
                        _ => WhenFull::Wait,
                    },
                    stall: self.stall(index),
                },
            },
        };
        Part::Exchange(exchange)
    }

    fn pace(&self, index: u32) -> Option<Pace> {
        let last = self.stretches.last()?;
        Some(Pace {
            start: self.start,
            stretches: self.stretches.clone(),
            // One connection publishes everything.
            connections: match self.load.work {
                Work::Broadcast(_) => 1,
                _ => self.load.connections.into(),
            },
            connection: index.into(),
            give_up: self.start + last.from + last.length + CATCH_UP,
        })
    }

    /// When the connection of this number stops reading, where it does.
    pub(super) fn stall(&self, index: u32) -> Option<Stall> {
        let plan = self.load.stall().filter(|_| self.class == Class::Measured)?;
        // The publisher is not a subscriber.
        let connection = match self.load.work {
            Work::Broadcast(_) => index.checked_sub(PUBLISHER + 1)?,
            _ => index,
        };
        let from = self.start + Duration::from_millis(plan.after_ms);
        let until = from + Duration::from_millis(plan.for_ms);
        plan.stalls(connection).then(|| Stall { from, until, sends: self.load.stalled_messages() })
    }
}

/// The rates of a load from `start` to `stop`, one after the other; none where it has no intended instants.
pub(super) fn stretches(
    load: &Load,
    start: Instant,
    stop: Stop,
    capacity_per_s: Option<u64>,
) -> Vec<Stretch> {
    let Stop::At(end) = stop else { return Vec::new() };
    match (&load.work, load.rate_per_s(), capacity_per_s) {
        (_, Some(rate_per_s), _) => Stretch::sequence([(end - start, rate_per_s)]),
        (Work::Paced(paced), None, Some(capacity_per_s)) => {
            let Offer::Steps(steps) = &paced.offer else { return Vec::new() };
            Stretch::sequence(steps.iter().map(|step| {
                let rate_per_s = capacity_per_s * u64::from(step.percent_of_capacity) / 100;
                (Duration::from_millis(step.duration_ms), rate_per_s.max(1))
            }))
        }
        _ => Vec::new(),
    }
}
