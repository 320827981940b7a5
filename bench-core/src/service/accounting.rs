//! What a server counts: on each connection by itself, and over all of them when a connection ends.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    ServeSpec, SocketError, Timer,
    panics::panics,
    protocol::ServerReport,
    service::fanout::{Hub, Losses},
    tally::Tally,
};

/// How long a server that was told to stop waits for connections that are still closing.
pub const DRAIN: Duration = Duration::from_secs(2);

/// What all connections of a server share.
#[derive(Debug)]
pub struct ServerContext {
    spec: ServeSpec,
    served: Mutex<ServerReport>,
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
    pub async fn finish<T: Timer>(&self, timer: &T) -> ServerReport {
        let deadline = Instant::now() + DRAIN;
        while self.open.load(Relaxed) > 0 && Instant::now() < deadline {
            timer.sleep_until(Instant::now() + Duration::from_millis(1)).await;
        }
        self.totals()
    }

    /// The counts as they are: for a server that waits for its last connections by itself.
    pub fn totals(&self) -> ServerReport {
        let open_at_end = self.open.load(Relaxed);
        ServerReport { open_at_end, panics: panics(), ..self.served().clone() }
    }

    fn served(&self) -> std::sync::MutexGuard<'_, ServerReport> {
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
            Err(SocketError::Io(_) | SocketError::Tls(_)) => Ended::Transport,
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
