//! A client that is full: the time that it takes says nothing about the server.

use trial::{mark::Mark, metric, record::Record};

use super::{
    bench::Bench,
    check::Check,
    rows::{self, SAME, SLOW, State, TRIALS},
    verdicts::{Verdicts, figures, shown},
};
use crate::analysis::{
    statistics::median,
    verdict::{Judged, Verdict},
};

/// Fault: nobody is told that the client is full.
pub(super) const MARK_IGNORED: &str = "mark-ignored";

/// A core for each end.
const SCENARIO: &str = "closed-100";

/// Several times what a message costs: whoever calls this a tie is blind.
const BURN_NS: u64 = 30_000;

/// Rounds of the comparison: enough for a verdict, and a cost of this size is found in any number of them.
const ROUNDS: u32 = 12;

/// How far from the known ratio the estimate may be, on log scale. On two cores a cost is not seen to scale: a server that
/// has less to do asks for events in vain, which is part of what the others cost.
const NEAR: f64 = 0.2;

/// Some thousand messages of the slow row.
const WINDOW_MS: u64 = 100;

/// After it a message costs what it costs later.
const WARM_UP_MS: u64 = 50;

/// A client that never sleeps takes as much time a message as its server, whatever that is. Relative to it, all servers
/// are alike; by its own cost, the slow one is slow.
pub(super) fn blind_control(bench: &mut Bench) -> Vec<Check> {
    let check = Check::new("a client that is full hides no cost");
    let scenario = rows::scenario(SCENARIO, WARM_UP_MS, WINDOW_MS);
    let state = State { burn_ns: 0, known_ns: BURN_NS, client: bench.known("client-busy") };
    let mut trials: Vec<Record> =
        (0..ROUNDS * TRIALS).map(|place| rows::trial(bench, &scenario, &state, place)).collect();
    if let Some(reason) = rows::failure(&trials) {
        return vec![check.without_trials(&reason)];
    }
    let full = trials.iter().filter(|trial| trial.marks.contains(&Mark::ClientSaturated)).count();
    let check = check.expect(
        Mark::ClientSaturated.name(),
        format!("in {full} of {} trials", trials.len()),
        // One is enough for verdicts not to be formed relative to it.
        full > 0,
    );
    let usual = median(&figures(trials.iter().filter(|trial| trial.server.row != SLOW), metric::SERVER_CPU));
    let known = 1.0 + BURN_NS as f64 / usual;
    if bench.has_fault(MARK_IGNORED) {
        for trial in &mut trials {
            trial.marks.remove(&Mark::ClientSaturated);
        }
    }
    let verdicts = Verdicts::of(trials);
    let of_row = |row| verdicts.of_row(row, metric::SERVER_CPU);
    let (slow, same) = (of_row(SLOW), of_row(SAME));
    let relative = verdicts.of_row(SLOW, metric::SERVER_CPU_RELATIVE);
    let holds = |judged: Judged| {
        let is_near = judged.ratio.is_some_and(|ratio| (ratio / known).ln().abs() < NEAR);
        judged.verdict == Verdict::Greater && is_near
    };
    let check = check
        .expect(
            format!("slower, {known:.1} times within a fifth"),
            shown(slow.as_ref()),
            slow.is_some_and(holds),
        )
        .expect("tie", shown(same.as_ref()), same.is_some_and(|judged| judged.verdict == Verdict::Tie))
        .expect("not judged relative to its client", shown(relative.as_ref()), relative.is_none());
    vec![check]
}
