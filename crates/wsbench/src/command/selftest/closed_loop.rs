//! A small known cost in a closed loop on one core, and the same while the machine changes.

use trial::{metric, record::Record};

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

/// Fault: what is known to burn does not.
pub(super) const NO_BURN: &str = "no-burn";

/// Where both ends share a core, a cost shows to scale.
const SCENARIO: &str = "closed-100-shared";

/// Trials that tell what a message costs, from which follows what is burnt. One alone may be slow by half.
const PILOTS: u32 = 3;

/// Rounds of the comparison. Two equal trials differ by 1.5 to 2 % here, so that the interval of 20 rounds reaches 1 to 1.5 %
/// to either side: it leaves out 1, and would not hold twice the known cost.
const ROUNDS: u32 = 20;

/// Rounds in which a cost that is not there is not found: enough for a verdict.
const ROUNDS_UNDER_FAULT: u32 = 12;

/// How far two equal trials differ is decided when their processes start: in a window of 700 ms it is as much.
const WINDOW_MS: u64 = 50;

/// After it a message costs what it costs later.
const WARM_UP_MS: u64 = 100;

/// What the slow row burns, as a share of what a message costs the server: what a release of a runtime gains or loses.
const COST: f64 = 0.03;

/// How much slower everything is in the other state. Virtual machines were seen to lose this much for minutes.
const SLOWER: f64 = 1.2;

/// What the middle has to cost at least and at most for that state to be there: it is added by burning, as the known cost.
const LEAST_SLOWER: f64 = 1.1;
const MOST_SLOWER: f64 = 1.4;

/// How far what is burnt may be from what it says, in nanoseconds. What a reading of the clock costs among other
/// instructions is not what it costs among its like, by which burning takes it into account: it waits for what came before,
/// and nothing that comes after begins. A reading takes some 20 ns, and each burn has one of them outside of what it times.
/// In twelve runs 3.1 % were seen as 3.5 % on average, which is 14 ns more.
const UNSURE_NS: f64 = 20.0;

/// What a message costs the two ends, in nanoseconds.
#[derive(Clone, Copy)]
struct Costs {
    server: f64,
    client: f64,
}

impl Costs {
    fn of(trials: &[Record]) -> Costs {
        let median_of = |metric| median(&figures(trials.iter(), metric));
        Costs { server: median_of(metric::SERVER_CPU), client: median_of(metric::CLIENT_CPU) }
    }

    /// The state in which everything takes longer, what is burnt as well.
    fn slower(self, bench: &Bench, known_ns: f64) -> State {
        let more_ns = |ns: f64| ((SLOWER - 1.0) * ns).round() as u64;
        State {
            burn_ns: more_ns(self.server),
            known_ns: (SLOWER * known_ns).round() as u64,
            client: bench.known(&format!("client-burn:{}", more_ns(self.client))),
        }
    }
}

/// Both checks: the second one uses the first one's trials, but for those in the middle.
pub(super) fn small_cost(bench: &mut Bench) -> Vec<Check> {
    let found = Check::new("3 % in a closed loop are found");
    let not_fooled = Check::new("a second state in the middle of a run fools no verdict");
    let scenario = rows::scenario(SCENARIO, WARM_UP_MS, WINDOW_MS);
    let mut usual = State { burn_ns: 0, known_ns: 0, client: bench.tokio.clone() };
    let pilots: Vec<Record> = (0..PILOTS).map(|place| rows::trial(bench, &scenario, &usual, place)).collect();
    if let Some(reason) = rows::failure(&pilots) {
        return vec![found.without_trials(&reason), not_fooled.without_trials(&reason)];
    }
    let costs = Costs::of(&pilots);
    let known_ns = (COST * costs.server).round();
    let (mut slower, mut rounds) = (usual.clone(), ROUNDS_UNDER_FAULT);
    if !bench.has_fault(NO_BURN) {
        usual.known_ns = known_ns as u64;
        (slower, rounds) = (costs.slower(bench, known_ns), ROUNDS);
    }

    let all = rounds * TRIALS;
    let outer: Vec<Record> = (0..all).map(|place| rows::trial(bench, &scenario, &usual, place)).collect();
    // It begins and ends inside a round, as states of machines do.
    let (from, to) = (all / 3, 2 * all / 3);
    let middle: Vec<Record> = (from..to).map(|place| rows::trial(bench, &scenario, &slower, place)).collect();
    if let Some(reason) = rows::failure(&outer).or_else(|| rows::failure(&middle)) {
        return vec![found.without_trials(&reason), not_fooled.without_trials(&reason)];
    }

    let (usual_ns, slower_ns) = (equal_rows_ns(&outer), equal_rows_ns(&middle));
    let share = slower_ns / usual_ns;
    let known = Known { ratio: 1.0 + known_ns / usual_ns, unsure: UNSURE_NS / usual_ns };
    let mut mixed = outer.clone();
    mixed.splice(from as usize..to as usize, middle);
    vec![
        known.found_in(found, &Verdicts::of(outer)),
        known.found_in(
            not_fooled.expect(
                format!("a middle that costs from {LEAST_SLOWER} to {MOST_SLOWER} times as much"),
                format!("{share:.3} times"),
                (LEAST_SLOWER..=MOST_SLOWER).contains(&share),
            ),
            &Verdicts::of(mixed),
        ),
    ]
}

/// What a message costs the servers that burn nothing of their own.
fn equal_rows_ns(trials: &[Record]) -> f64 {
    median(&figures(trials.iter().filter(|trial| trial.server.row != SLOW), metric::SERVER_CPU))
}

/// A ratio that is known, but for what burning it adds.
struct Known {
    ratio: f64,
    unsure: f64,
}

impl Known {
    fn found_in(&self, check: Check, verdicts: &Verdicts) -> Check {
        let of_row = |row| verdicts.of_row(row, metric::SERVER_CPU_RELATIVE);
        let (slow, same) = (of_row(SLOW), of_row(SAME));
        let holds = |judged: Judged| {
            let (least, most) = (self.ratio - self.unsure, self.ratio + self.unsure);
            let in_interval = judged.interval.is_some_and(|(low, high)| low <= most && high >= least);
            judged.verdict == Verdict::Greater && in_interval
        };
        check
            .expect(
                format!("slower, {:.3} ± {:.3} times in the interval", self.ratio, self.unsure),
                shown(slow.as_ref()),
                slow.is_some_and(holds),
            )
            .expect("tie", shown(same.as_ref()), same.is_some_and(|judged| judged.verdict == Verdict::Tie))
    }
}
