//! The rows that closed loops compare: a program, the same with a known cost, and the same again.

use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64;
use trial::{
    Program,
    catalogue::{Catalogue, Scenario},
    mark::Mark,
    metric::{self, Metric},
    record::{Position, Record},
};

use super::bench::Bench;

/// The row that the others are compared with.
pub(super) const BASELINE: &str = "tokio";

/// Another build of it, as far as the names tell, that spends a known time more on each message.
pub(super) const SLOW: &str = "tokio@slow";

/// Another build that is the same.
pub(super) const SAME: &str = "tokio@same";

/// All of them, with the baseline's second measurement.
const ALL: [&str; 4] = [BASELINE, SLOW, SAME, "tokio#aa"];

/// Trials of a round.
pub(super) const TRIALS: u32 = ALL.len() as u32;

/// What the ends of a trial do beside their work.
#[derive(Clone)]
pub(super) struct State {
    /// CPU time that every server burns on each message, in nanoseconds.
    pub(super) burn_ns: u64,
    /// What the slow one burns beside that.
    pub(super) known_ns: u64,
    /// The client.
    pub(super) client: Program,
}

impl State {
    fn server(&self, bench: &Bench, row: &str) -> Program {
        let burn_ns = self.burn_ns + if row == SLOW { self.known_ns } else { 0 };
        let behaviour = if burn_ns > 0 { format!("burn:{burn_ns}") } else { String::new() };
        Program { row: row.to_owned(), ..bench.known(&behaviour) }
    }
}

/// A scenario of the catalogue with a shorter window.
pub(super) fn scenario(name: &str, warm_up_ms: u64, window_ms: u64) -> Scenario {
    let mut scenario = Catalogue::built_in().scenarios[name].clone();
    (scenario.load.warm_up_ms, scenario.load.duration_ms) = (warm_up_ms, window_ms);
    scenario
}

/// The trial number `place` of a comparison, counted over all rounds.
pub(super) fn trial(bench: &mut Bench, scenario: &Scenario, state: &State, place: u32) -> Record {
    let (round, order) = (place / TRIALS, place % TRIALS);
    // As in a run: a row that always came after the same other one was called faster for it in one of two comparisons.
    let mut rows = ALL;
    rows.shuffle(&mut Pcg64::seed_from_u64(round.into()));
    let server = state.server(bench, rows[order as usize]);
    // The same program under one name, whatever it does beside its work.
    let client = Program { row: BASELINE.to_owned(), ..state.client.clone() };
    let position = Position { round, block: round, attempt: 0, order };
    let mut trial = bench.trial_at(scenario, position, &server, &client);
    // What is known stays true beside others and is only seen less sharply, where a run would measure further rounds.
    trial.marks.remove(&Mark::Disturbed);
    trial
}

/// Why some trials have no figures: how many, and what the first of them says. Without it, each has its CPU times.
pub(super) fn failure(trials: &[Record]) -> Option<String> {
    let reasons: Vec<String> = trials.iter().filter_map(reason).collect();
    Some(format!("{} failed: {}", reasons.len(), reasons.first()?))
}

fn reason(trial: &Record) -> Option<String> {
    let figures = metric::figures(trial);
    let has = |metric: Metric| figures.contains_key(metric.name);
    match &trial.error {
        Some(error) => Some(error.to_string()),
        None if has(metric::SERVER_CPU) && has(metric::CLIENT_CPU) => None,
        None => Some("no CPU time".to_owned()),
    }
}
