//! Messages that are lost or miscounted.

use std::time::Duration;

use bench_core::spec::{Load, PingPong, Work};

use super::{bench::Bench, check::Check};

/// Fault: a failed trial counts.
pub(super) const COUNT_IGNORED: &str = "count-ignored";

/// Longest time of the trial whose echo never comes: far beyond what its 200 messages take.
const DROPPED_LIMIT: Duration = Duration::from_secs(4);

fn load() -> Load {
    Load { work: Work::PingPong(PingPong { messages: Some(200), burn_us: 0 }), ..Load::default() }
}

/// An echo that never comes: nothing but the trial's time can tell.
pub(super) fn dropped(bench: &mut Bench) -> Vec<Check> {
    let (server, client) = (bench.known("drop"), bench.tokio.clone());
    let record = bench.trial_within(&server, &client, load(), Some(DROPPED_LIMIT));
    vec![Check::new("a lost message fails its trial").expect_failure(&record, "within the trial's")]
}

pub(super) fn miscounted(bench: &mut Bench) -> Vec<Check> {
    let mut record = bench.trial(&bench.known("count"), &bench.tokio.clone(), load());
    if bench.has_fault(COUNT_IGNORED) {
        record.error = None;
    }
    vec![Check::new("a wrong count fails its trial").expect_failure(&record, "but the server received")]
}
