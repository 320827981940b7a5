//! Verdicts on tables whose truth is known: simulated trials with the noise of a real machine.
//!
//! The noise is that of a virtual machine with two cores, on which 30 blocks of one row and its twin were measured: steady
//! to half a percent, but for slow phases of some seconds, 10 to 25 % slower, that begin and end between any two trials.
//! docs/METHODOLOGY.md has the figures that this prints with `-- --nocapture`.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use trial::metric;
use wsbench::analysis::{
    statistics::Test,
    verdict::{Judgement, Sample, TESTS, Tests, Value, Values, Verdict, judge_by},
};

/// Spread of a trial in a steady phase, on log scale.
const STEADY: f64 = 0.006;
/// Chances that a slow phase begins, and ends, from one trial to the next.
const BEGINS: f64 = 0.08;
const ENDS: f64 = 0.2;
/// Slow-down of a slow phase.
const SLOWER: std::ops::Range<f64> = 0.10..0.25;

const CONFIDENCE: f64 = 0.95;
const TABLES: usize = 400;

/// The machine from trial to trial.
struct Machine {
    random: Pcg64,
    slow: f64,
    /// Whether the other end is a control.
    control: bool,
}

impl Machine {
    fn new(seed: u64, control: bool) -> Machine {
        Machine { random: Pcg64::seed_from_u64(seed), slow: 0.0, control }
    }

    /// What a row of this true cost shows in one trial, and what the other end does.
    fn trial(&mut self, truth: f64) -> Value {
        self.slow = if self.slow > 0.0 {
            if self.random.random_bool(ENDS) { 0.0 } else { self.slow }
        } else if self.random.random_bool(BEGINS) {
            self.random.random_range(SLOWER)
        } else {
            0.0
        };
        Value { metric: truth * self.noise(), control: self.control.then(|| self.noise()) }
    }

    fn noise(&mut self) -> f64 {
        // The sum of twelve even numbers is close enough to normal, and needs no further library.
        let normal: f64 = (0..12).map(|_| self.random.random::<f64>()).sum::<f64>() - 6.0;
        (self.slow + STEADY * normal).exp()
    }

    /// A run of all rows and the twin, in shuffled blocks.
    fn table(&mut self, truths: &[f64], rounds: u32) -> Sample {
        let mut rows = vec![Values::new(); truths.len() + 1];
        for block in 0..rounds {
            let mut order: Vec<usize> = (0..rows.len()).collect();
            for place in (1..order.len()).rev() {
                order.swap(place, self.random.random_range(0..=place));
            }
            for row in order {
                let truth = truths.get(row).unwrap_or(&truths[0]);
                let value = self.trial(*truth);
                rows[row].insert((String::new(), block), value);
            }
        }
        let twin = rows.pop().expect("the twin is the last of at least one");
        Sample { rows, baseline: Some(0), twin }
    }
}

/// How a table is judged: by which tests, and with a control or without.
type Way = (Tests, bool);

const SIGN: Tests = Tests { steady: Test::Sign, other: Test::Sign };
const SIGNED_RANK: Tests = Tests { steady: Test::SignedRank, other: Test::SignedRank };

const WAYS: [Way; 5] =
    [(SIGN, false), (SIGNED_RANK, false), (SIGN, true), (SIGNED_RANK, true), (TESTS, true)];

/// The share of tables in which `hit` is true of the judgement.
fn share((tests, control): Way, truths: &[f64], rounds: u32, hit: impl Fn(&Judgement) -> bool) -> f64 {
    let hits = (0..TABLES).filter(|seed| {
        let sample = Machine::new(*seed as u64, control).table(truths, rounds);
        hit(&judge_by(tests, &sample, metric::SERVER_CPU, CONFIDENCE))
    });
    hits.count() as f64 / TABLES as f64
}

fn any_verdict(judgement: &Judgement) -> bool {
    judgement.rows.iter().any(|row| matches!(row.verdict, Verdict::Greater | Verdict::Less))
}

fn any_rank_but_1(judgement: &Judgement) -> bool {
    judgement.rows.iter().any(|row| row.rank.is_some_and(|rank| rank > 1))
}

#[test]
fn equal_rows_are_ties_in_at_least_95_tables_of_100() {
    for way in WAYS {
        for (rows, rounds) in [(3, 7), (3, 10), (3, 20), (15, 10), (15, 20)] {
            let truths = vec![100.0; rows];
            let (verdict, rank) =
                (share(way, &truths, rounds, any_verdict), share(way, &truths, rounds, any_rank_but_1));
            println!("{way:?}, {rows} equal rows, {rounds} rounds: a verdict {verdict:.3}, a rank {rank:.3}");
            assert!(verdict <= 0.05, "{way:?}, {rows} rows, {rounds} rounds: {verdict}");
        }
    }
}

#[test]
fn five_percent_are_found_in_20_rounds_in_9_tables_of_10() {
    let found = |judgement: &Judgement| judgement.rows[1].verdict == Verdict::Greater;
    for way in WAYS {
        for (truths, rounds) in [
            (&[100.0, 103.0][..], 10),
            (&[100.0, 105.0], 10),
            (&[100.0, 105.0], 20),
            (&[100.0, 105.0, 100.0], 20),
            (&[100.0, 103.0, 100.0], 20),
            (&[100.0, 110.0, 100.0], 10),
        ] {
            let power = share(way, truths, rounds, found);
            println!("{way:?}, {truths:?}, {rounds} rounds: found {power:.3}");
            // Without a control, `TESTS` is the sign test.
            let is_used = way == (SIGN, false) || way == (TESTS, true);
            if is_used && truths[1] == 105.0 && rounds == 20 {
                assert!(power >= 0.9, "{truths:?}: {power}");
            }
        }
    }
}
