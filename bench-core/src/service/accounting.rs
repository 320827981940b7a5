//! What a server counts: on each connection by itself, and over all of them when a connection ends.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ServeSpec, SocketError, Timer,
    fanout::{Hub, Losses},
    tally::Tally,
};

/// How long a server that was told to stop waits for connections that are still closing.
pub const DRAIN: Duration = Duration::from_secs(2);

/// What a server reports when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Served {
    /// Messages by class, over all connections.
    pub tally: Tally,
    /// Messages that were not delivered because of a stated policy.
    pub dropped_messages: u64,
    /// Subscribers that were disconnected because of a stated policy.
    #[serde(default)]
    pub disconnected: u64,
    /// TCP connections accepted.
    pub accepted: u64,
    /// Opening handshakes completed.
    pub upgraded: u64,
    /// Connections that ended without a completed opening handshake.
    pub handshake_errors: u64,
    /// Connections that ended with a protocol error, including an end without a closing handshake.
    pub protocol_errors: u64,
    /// Connections that ended with a transport error.
    pub io_errors: u64,
    /// Failed accepts.
    pub accept_errors: u64,
    /// Connections that were accepted and ended at once, because the most that the server may have were open.
    #[serde(default)]
    pub refused: u64,
    /// Connections that were ended because nothing happened on them for the idle timeout.
    #[serde(default)]
    pub idle_ended: u64,
    /// Connections still open when the server gave up waiting for them; their messages are not in the tally.
    pub open_at_end: u64,
    /// Panics in the process.
    pub panics: u64,
}

impl Served {
    /// How many messages a policy dropped, at least and at most.
    ///
    /// What was on its way to a subscriber when it was cut off counts as dropped. It may have arrived all the same where
    /// it is the kernel that completes a write (io_uring): such a write cannot be called back for certain.
    pub fn dropped(&self) -> RangeInclusive<u64> {
        self.dropped_messages.saturating_sub(self.disconnected)..=self.dropped_messages
    }
}

/// What all connections of a server share.
#[derive(Debug)]
pub struct ServerContext {
    spec: ServeSpec,
    served: Mutex<Served>,
    hub: Hub,
    open: AtomicU64,
}

impl ServerContext {
    /// For a server of this specification.
    pub fn new(spec: &ServeSpec) -> Arc<ServerContext> {
        Arc::new(ServerContext {
            spec: spec.clone(),
            served: Mutex::default(),
            hub: Hub::default(),
            open: AtomicU64::new(0),
        })
    }

    /// The server's specification.
    pub fn spec(&self) -> &ServeSpec {
        &self.spec
    }

    /// The subscribers of this server.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Counts a failed accept.
    pub fn accept_failed(&self) {
        self.served().accept_errors += 1;
    }

    /// The final counts, once the connections that are still closing have ended or [`DRAIN`] has passed.
    pub async fn finish<T: Timer>(&self, timer: &T) -> Served {
        let deadline = Instant::now() + DRAIN;
        while self.open.load(Relaxed) > 0 && Instant::now() < deadline {
            timer.sleep_until(Instant::now() + Duration::from_millis(1)).await;
        }
        self.totals()
    }

    /// The counts as they are: for a server that waits for its last connections by itself.
    pub fn totals(&self) -> Served {
        let open_at_end = self.open.load(Relaxed);
        Served { open_at_end, panics: crate::row::panics(), ..self.served().clone() }
    }

    fn served(&self) -> std::sync::MutexGuard<'_, Served> {
        // Every change under this lock is a plain addition: a panic elsewhere leaves nothing half done.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug)]
enum Ended {
    Handshake,
    InOrder,
    InProtocol,
    Transport,
    Idle,
}

/// What a server counts on one connection, from its accept on.
///
/// It counts on its own while the connection lives, without contention, and adds to the whole when it is dropped, so
/// also when the connection's task is cancelled or panics. [`serve_connection`](super::serve_connection) has its own.
#[derive(Debug)]
pub struct ConnectionTally {
    context: Arc<ServerContext>,
    tally: Tally,
    losses: Losses,
    ended: Ended,
}

impl ConnectionTally {
    /// Counts an accepted connection. `None` where the most that the server may have are open: it should be dropped.
    pub fn admit(context: Arc<ServerContext>) -> Option<ConnectionTally> {
        let mut served = context.served();
        served.accepted += 1;
        // Under the lock, so that no two take the last place.
        if context.open.load(Relaxed) >= context.spec.max_connections {
            served.refused += 1;
            return None;
        }
        context.open.fetch_add(1, Relaxed);
        drop(served);
        Some(ConnectionTally {
            context,
            tally: Tally::default(),
            losses: Losses::default(),
            ended: Ended::Handshake,
        })
    }

    /// Counts the completed opening handshake. A connection that is dropped without it has failed in it; one that is
    /// dropped after it without [`ended`](Self::ended) has broken the protocol.
    pub fn upgraded(&mut self) {
        self.context.served().upgraded += 1;
        self.ended = Ended::InProtocol;
    }

    /// Its messages and what was not delivered, to count them.
    pub(super) fn counts(&mut self) -> (&mut Tally, &mut Losses) {
        (&mut self.tally, &mut self.losses)
    }

    /// Its messages, to count them.
    pub fn messages(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// Says how the service ended; without an opening handshake there was none.
    pub fn ended(&mut self, result: &Result<(), SocketError>) {
        if matches!(self.ended, Ended::Handshake) {
            return;
        }
        self.ended = match result {
            Ok(()) => Ended::InOrder,
            Err(SocketError::Io(_)) => Ended::Transport,
            Err(SocketError::TimedOut { .. }) => Ended::Idle,
            Err(_) => Ended::InProtocol,
        };
    }
}

impl Drop for ConnectionTally {
    fn drop(&mut self) {
        let mut served = self.context.served();
        served.tally.add(&self.tally);
        served.dropped_messages += self.losses.dropped;
        served.disconnected += self.losses.disconnected;
        match self.ended {
            Ended::Handshake => served.handshake_errors += 1,
            Ended::InOrder => {}
            Ended::InProtocol => served.protocol_errors += 1,
            Ended::Transport => served.io_errors += 1,
            Ended::Idle => served.idle_ended += 1,
        }
        drop(served);
        self.context.open.fetch_sub(1, Relaxed);
    }
}
