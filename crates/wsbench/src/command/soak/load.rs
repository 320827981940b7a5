//! The loads of a soak.

use std::time::Duration;

use bench_core::spec::{Connect, ConnectPace, Load, Paced, Refusals, Work};

/// The paced load: moderate, so that its tail shows what the churn does to others.
pub(super) const PACED_CONNECTIONS: u32 = 50;
const PACED_RATE_PER_S: u64 = 1_000;

/// One window of the paced load, which is repeated.
pub(super) const PACED_WINDOW: Duration = Duration::from_secs(5);

/// Messages between the opening and the closing of a connection of the churn.
const CHURN_EXCHANGES: u64 = 10;

/// Churn: every second each of these opens and closes so many connections, one after the other. More would use up the
/// ephemeral ports of one address, which each closed connection holds for a minute.
pub(super) const CHURN_LANES: u32 = 4;
pub(super) const CHURN_PER_SECOND: u32 = 25;

/// Connections that are opened, used and closed over and over.
pub(super) fn churn() -> Load {
    Load {
        connections: CHURN_LANES,
        work: Work::Connect(Connect {
            pace: ConnectPace::Closed { messages: Some(1) },
            exchanges: CHURN_EXCHANGES,
            refusals: Refusals::Fail,
        }),
        warm_up_ms: 0,
        ..Load::default()
    }
}

/// One window of the paced load.
pub(super) fn paced() -> Load {
    Load {
        connections: PACED_CONNECTIONS,
        work: Work::Paced(Paced::at(PACED_RATE_PER_S)),
        duration_ms: PACED_WINDOW.as_millis() as u64,
        ..Load::default()
    }
}
