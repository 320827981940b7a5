//! Clients that go on until they are told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bench_core::protocol::{ClientReport, Event};
use trial::{Peer, process::Process};

/// A thread that drives a client, and what it found.
pub(super) type Worker<T> = thread::JoinHandle<Result<T, String>>;

/// Lets a client measure over and over, each time at least `every` after the time before, until it is told to stop.
pub(super) fn repeat(
    mut client: Process,
    line: String,
    every: Duration,
    stop: Arc<AtomicBool>,
) -> Worker<ClientReport> {
    thread::spawn(move || {
        let result = converse(&mut client, &line, every, &stop);
        result.map_err(|reason| format!("the client {reason}: {}", client.abandon()))
    })
}

fn converse(
    client: &mut Process,
    line: &str,
    every: Duration,
    stop: &AtomicBool,
) -> Result<ClientReport, String> {
    let out_of_turn = || "reported out of turn".to_owned();
    let Event::Ready = client.event()? else { return Err(out_of_turn()) };
    while !stop.load(Relaxed) {
        let started = Instant::now();
        client.tell(line)?;
        let Event::Measured(_) = client.event()? else { return Err(out_of_turn()) };
        thread::sleep(every.saturating_sub(started.elapsed()));
    }
    client.tell("finish")?;
    let Event::Drove(drove) = client.event()? else { return Err(out_of_turn()) };
    match drove.errors.first() {
        Some(error) => Err(format!("found: {error} ({} connections failed)", drove.failed_connections)),
        None => Ok(client.wait().map(|()| drove)?),
    }
}

/// Waits for a worker.
pub(super) fn ended<T>(worker: Worker<T>) -> Result<T, String> {
    worker.join().unwrap_or_else(|_| Err("panicked".to_owned()))
}
