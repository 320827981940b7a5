//! A load in a few words, for headings.

use std::time::Duration;

use bench_core::{
    Kind,
    spec::{Broadcast, Connect, ConnectPace, Load, Offer, Paced, Pushes, Step, Work},
};

/// What a client does, with its connections and messages, in a few words.
pub(crate) fn of_load(load: &Load) -> String {
    let connections = match load.connections {
        1 => "1 connection".to_owned(),
        many => format!("{many} connections"),
    };
    let kind = match load.kind {
        Kind::Text => "text",
        Kind::Binary => "binary",
    };
    let messages = format!("{} {kind}", units::bytes(load.payload_bytes));
    let echoes = format!("{connections} · {messages}");
    let burn = match load.burn_us() {
        0 => String::new(),
        micros => format!(", {:?} of CPU time each", Duration::from_micros(micros)),
    };
    match &load.work {
        Work::PingPong(_) => format!("{echoes} · closed loop{burn}"),
        Work::Window(window) => format!("{echoes} · closed loop, {} in flight{burn}", window.in_flight),
        Work::OneWay(one_way) => format!("{echoes} · batches of {}, acknowledged", one_way.batch),
        Work::Push(work) => pushes(&connections, work),
        Work::Connect(work) => connects(load.connections, work),
        Work::Idle(idle) if idle.touch => format!("{connections}, silent after one echo each"),
        Work::Idle(_) => format!("{connections}, silent"),
        Work::Paced(work) => format!("{echoes} · paced, {}", paced(work, &burn, &stall(load))),
        Work::Broadcast(work) => broadcast(load, work, &messages),
    }
}

fn pushes(connections: &str, work: &Pushes) -> String {
    let timers = match work.timers {
        1 => String::new(),
        timers => format!(" with {timers} schedules each"),
    };
    let every = Duration::from_micros(work.every_us);
    format!("{connections}{timers} · {} pushes every {every:?}", work.count)
}

fn connects(connections: u32, work: &Connect) -> String {
    let how = match (work.pace, connections) {
        (ConnectPace::Rate(rate), _) => format!("{rate}/s offered · "),
        (ConnectPace::Closed { .. }, 1) => String::new(),
        (ConnectPace::Closed { messages: Some(1) }, many) => format!("{many} at once · "),
        (ConnectPace::Closed { .. }, many) => format!("{many} at a time · "),
    };
    let then = match work.exchanges {
        0 => "first push".to_owned(),
        1 => "1 echo".to_owned(),
        many => format!("{many} echoes"),
    };
    format!("{how}connect, upgrade, {then}")
}

fn paced(work: &Paced, burn: &str, stall: &str) -> String {
    match &work.offer {
        Offer::Rate(rate) => format!("{rate}/s offered{burn}{stall}"),
        Offer::Steps(steps) => {
            let step = |step: &Step| {
                let length = Duration::from_millis(step.duration_ms);
                format!("{} % for {length:?}", step.percent_of_capacity)
            };
            let steps: Vec<String> = steps.iter().map(step).collect();
            format!("of the capacity {}{burn}", steps.join(", then "))
        }
    }
}

fn broadcast(load: &Load, work: &Broadcast, messages: &str) -> String {
    format!(
        "{} subscribers · {messages} · {}/s published · queue {}, {} when full{}",
        load.connections,
        work.rate_per_s,
        work.queue,
        work.when_full.name(),
        stall(load)
    )
}

/// Which connections stop reading; nothing where none does.
fn stall(load: &Load) -> String {
    load.stall().map_or(String::new(), |stall| {
        let length = Duration::from_millis(stall.for_ms);
        format!(" · {} % stop reading for {length:?}", stall.percent)
    })
}
