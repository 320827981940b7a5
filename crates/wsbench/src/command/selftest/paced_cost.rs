//! A large known cost under a paced load.

use std::collections::BTreeMap;

use bench_core::spec::Load;
use trial::metric;

use super::{
    bench::Bench,
    check::Check,
    verdicts::{CONFIDENCE, shown},
};
use crate::analysis::{
    statistics::median,
    verdict::{Sample, Values, Verdict, judge},
};

/// CPU time that the slow row spends on each message: several times what a message costs, far beyond what any phase of
/// a machine adds, and a tenth of the time between two messages.
const BURN_NS: u64 = 100_000;

/// Rounds of the comparison: with so many the interval reaches from the least ratio to the greatest.
const ROUNDS: u32 = 10;

/// A row that spends a known time more, and the same row under a second name.
///
/// The load is one in which the burnt time is all that differs: the client spins and never has to be woken, and the server
/// sleeps before every message, burning or not. In a closed loop on two cores a server that is slower than its client has
/// to wake it at each answer, which costs it microseconds more.
pub(super) fn burn(bench: &mut Bench) -> Vec<Check> {
    let load = Load { duration_ms: bench.window_ms / 10, ..bench.paced() };
    let servers = [
        bench.known(""),
        bench.known(&format!("burn:{BURN_NS}")),
        bench.known(""),
        // The twin.
        bench.known(""),
    ];
    let mut values = vec![Values::new(); servers.len()];
    let mut errors: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        // No shuffling is needed where the difference looked for is this large; only no row should always be first.
        for place in (0..servers.len()).map(|place| (place + round as usize) % servers.len()) {
            let record = bench.trial(&servers[place], &bench.tokio.clone(), load.clone());
            let figures = metric::figures(&record);
            match figures.get(metric::SERVER_CPU.name) {
                Some(cpu) => {
                    values[place].insert((String::new(), round), *cpu);
                }
                None => {
                    let reason = record.error.map_or("no CPU time".to_owned(), |error| error.to_string());
                    *errors.entry(reason).or_default() += 1;
                }
            }
        }
    }
    let check = Check::new("a known cost is found, and the same row is a tie");
    if let Some((reason, count)) = errors.first_key_value() {
        return vec![check.without_trials(&format!("{count} failed: {reason}"))];
    }
    let twin = values.pop().unwrap_or_default();
    let base: Vec<f64> = values[0].values().copied().collect();
    let known = 1.0 + BURN_NS as f64 / median(&base);
    let judgement = judge(
        &Sample { rows: values, baseline: Some(0), twin, ..Sample::default() },
        metric::SERVER_CPU,
        CONFIDENCE,
    );
    let [_, slow, same] = judgement.rows[..] else { return vec![check] };
    let holds_known = slow.interval.is_some_and(|(low, high)| (low..=high).contains(&known));
    let check = check
        .expect(
            format!("slower, {known:.3} times in the interval"),
            shown(Some(&slow)),
            slow.verdict == Verdict::Greater && holds_known,
        )
        .expect("tie", shown(Some(&same)), same.verdict == Verdict::Tie);
    vec![check]
}
