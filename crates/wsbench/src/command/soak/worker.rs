//! Clients that measure again and again until they are told to stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bench_core::protocol::ClientReport;
use trial::{ClientConversation, Peer, process::Process};

/// A thread that drives a client, and what it found.
pub(super) type Worker<T> = thread::JoinHandle<Result<T, String>>;

/// Lets a client measure `count` messages (connects) on each connection, or what its load says, over and over until it
/// is told to stop. A window starts `every` after the one before at the earliest.
pub(super) fn repeat(
    mut client: ClientConversation<Process>,
    count: Option<u64>,
    every: Duration,
    stop: Arc<AtomicBool>,
) -> Worker<ClientReport> {
    thread::spawn(move || {
        let result = converse(&mut client, count, every, &stop);
        result.map_err(|reason| format!("the client {reason}: {}", client.peer_mut().abandon()))
    })
}

fn converse(
    client: &mut ClientConversation<Process>,
    count: Option<u64>,
    every: Duration,
    stop: &AtomicBool,
) -> Result<ClientReport, String> {
    client.ready()?;
    while !stop.load(Relaxed) {
        let started = Instant::now();
        client.go(count)?;
        client.measured()?;
        thread::sleep(every.saturating_sub(started.elapsed()));
    }
    let report = client.finish()?;
    match report.errors.first() {
        Some(error) => Err(format!("found: {error} ({} connections failed)", report.failed_connections)),
        None => Ok(client.exit().map(|()| report)?),
    }
}

/// Waits for a worker.
pub(super) fn ended<T>(worker: Worker<T>) -> Result<T, String> {
    worker.join().unwrap_or_else(|_| Err("panicked".to_owned()))
}
