//! Peers that read slowly: what the server has for them is always more than its connection holds.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bench_core::{payload::Class, service::Push, tally::Tally};

use super::worker::Worker;
use crate::command::verify::wire::{CLOSE, FIN, Wire, close_payload, masked};

/// Readers at the same time.
const READERS: usize = 4;

/// Pushes to one connection, all due at once, and their size: more than the socket's buffers take.
const PUSHES: u64 = 500;
const PUSH_BYTES: u64 = 16 << 10;

/// Pause after each message that was read: a connection takes some two seconds.
const PAUSE: Duration = Duration::from_millis(4);

/// Longest time of one connection.
const LIMIT: Duration = Duration::from_secs(60);

/// What slow readers have read.
#[derive(Debug, Default)]
pub(super) struct SlowReads {
    /// Connections, one after the other.
    pub(super) connections: u64,
    pub(super) tally: Tally,
}

/// Starts the readers.
pub(super) fn start(addr: SocketAddr, stop: Arc<AtomicBool>) -> Vec<Worker<SlowReads>> {
    let reader = |_| {
        let stop = stop.clone();
        thread::spawn(move || read(addr, &stop))
    };
    (0..READERS).map(reader).collect()
}

fn read(addr: SocketAddr, stop: &AtomicBool) -> Result<SlowReads, String> {
    // A class of its own: what the others measure is not mixed with it.
    let push = Push {
        every_us: 1,
        count: PUSHES,
        payload_bytes: PUSH_BYTES,
        class: Class::Other,
        ..Push::default()
    };
    let mut reads = SlowReads::default();
    while !stop.load(Relaxed) {
        let mut wire = Wire::open(addr, &push.path(), Instant::now() + LIMIT)?;
        reads.connections += 1;
        for _ in 0..PUSHES {
            let (_, payload) = wire.message()?;
            reads.tally.class_mut(Class::Other).received(payload.len());
            thread::sleep(PAUSE);
        }
        wire.send(&masked(FIN | CLOSE, &close_payload(1000, "")))?;
        let answer = wire.answer()?;
        if answer.opcode() != CLOSE {
            return Err(format!("a close was answered by {}", answer.shown()));
        }
        wire.ended()?;
    }
    Ok(reads)
}
