//! Verdicts on tables whose truth is known: simulated trials with several kinds of noise, and with that of real records.
//!
//! The seeds are fixed. What is asserted: equal rows get a verdict, and are told apart before the floor, in at most 5 % of
//! tables; intervals miss the truth in at most 5 %; two runs of equal builds differ significantly in at most 5 %, and fail in
//! at most 1 %. Each bound is widened by three standard errors of as many tables. Power is printed, beside that of the rule
//! before. docs/METHODOLOGY.md has the tables that this prints:
//!
//!     WSBENCH_SIMULATION=full cargo test --release -p wsbench --test simulation -- --nocapture --test-threads 1
//!
//! Without the variable there are fewer tables, so that it takes less than a minute.

mod former;
mod noise;

use noise::{Control, Judged, Machine, Noise, REAL, Table};
use trial::metric;
use wsbench::analysis::{
    inference::{rounds_needed, shared_level},
    rank_sum::{RankSum, regression_level},
    verdict::{Judgement, Verdict, judge},
};

const CONFIDENCE: f64 = 0.95;
const LEVEL: f64 = 1.0 - CONFIDENCE;
const ROUNDS: [u32; 4] = [7, 10, 20, 30];

/// Tables of each kind.
fn tables() -> usize {
    if std::env::var_os("WSBENCH_SIMULATION").is_some_and(|form| form == "full") { 2_000 } else { 200 }
}

/// Rows of which the first ones cost so much, server and client, and all others 1.
fn truths(first: &[(f64, f64)], rows: usize) -> Vec<(f64, f64)> {
    let others = std::iter::repeat_n((1.0, 1.0), rows - first.len());
    first.iter().copied().chain(others).collect()
}

/// How often something was true.
#[derive(Clone, Copy, Default)]
struct Share {
    hits: usize,
    of: usize,
}

impl Share {
    fn add(&mut self, hit: bool) {
        self.hits += usize::from(hit);
        self.of += 1;
    }

    fn value(self) -> f64 {
        self.hits as f64 / self.of.max(1) as f64
    }

    /// `2.5`, or a dash where nothing was counted.
    fn text(self) -> String {
        if self.of == 0 { "–".to_owned() } else { format!("{:.1}", 100.0 * self.value()) }
    }

    /// Fails where it is more than `bound`, and three standard errors of that.
    fn at_most(self, bound: f64, what: &str) {
        let error = (bound * (1.0 - bound) / self.of.max(1) as f64).sqrt();
        assert!(self.value() <= bound + 3.0 * error, "{what}: {} of {}", self.hits, self.of);
    }
}

fn is_decided(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Greater | Verdict::Less)
}

fn any_verdict(judgement: &Judgement) -> bool {
    judgement.rows.iter().any(|row| is_decided(row.verdict))
}

fn any_rejected(judgement: &Judgement) -> bool {
    judgement.rows.iter().filter_map(|row| row.interval).any(|(low, high)| low > 1.0 || high < 1.0)
}

/// The tables of one kind: those of equal rows, and those in which the second one costs more.
#[derive(Clone, Copy, Default)]
struct Level {
    rejected: Share,
    verdict: Share,
    rank: Share,
    missed: Share,
}

fn level(noise: Noise, control: Control, judged: Judged, rows: usize, rounds: u32) -> Level {
    /// The second row's server, and what that does to its client.
    const SLOWER: (f64, f64) = (1.05, 1.015);
    let mut level = Level::default();
    // Tables of 15 rows hold more to be wrong in, and take longer.
    let tables = if rows > 5 { tables() / 4 } else { tables() };
    for seed in 0..tables as u64 {
        let mut machine = Machine::new(seed, noise, control);
        let judge = |table: Table| judge(&table.sample(judged), metric::SERVER_CPU, CONFIDENCE);
        let equal = judge(machine.table(&truths(&[], rows), rounds));
        level.rejected.add(any_rejected(&equal));
        level.verdict.add(any_verdict(&equal));
        level.rank.add(equal.rows.iter().any(|row| row.rank.is_some_and(|rank| rank > 1)));
        // Of two rows, where the level is not divided.
        if rows == 2 {
            let other = judge(machine.table(&truths(&[(1.0, 1.0), SLOWER], 2), rounds));
            let truth = if judged == Judged::Own { SLOWER.0 } else { SLOWER.0 / SLOWER.1 };
            level.missed.add(other.rows[1].interval.is_none_or(|(low, high)| low > truth || truth > high));
        }
    }
    level
}

#[test]
fn equal_rows_are_ties_and_intervals_hold_the_truth() {
    println!(
        "\n| noise | rounds | told apart before the floor: 2, 3, 15 rows | a verdict | a rank but 1 | interval misses |"
    );
    println!("|---|---|---|---|---|---|");
    for noise in Noise::all() {
        for rounds in ROUNDS {
            let levels = [2, 3, 15].map(|rows| {
                let possible = rounds as usize >= rounds_needed(rows - 1, CONFIDENCE);
                if possible {
                    level(noise, Control::Near, Judged::Own, rows, rounds)
                } else {
                    Level::default()
                }
            });
            let each =
                |share: fn(&Level) -> Share| levels.each_ref().map(|level| share(level).text()).join(", ");
            let (rejected, verdict) = (each(|level| level.rejected), each(|level| level.verdict));
            let (rank, missed) = (each(|level| level.rank), levels[0].missed);
            let name = noise.name();
            println!("| {name} | {rounds} | {rejected} | {verdict} | {rank} | {} |", missed.text());
            let what = format!("{name}, {rounds} rounds");
            for level in levels {
                level.rejected.at_most(LEVEL, &what);
                level.verdict.at_most(LEVEL, &what);
            }
            missed.at_most(LEVEL, &what);
        }
    }
}

#[test]
fn the_same_holds_relative_to_the_other_end() {
    println!(
        "\n| relative to the client: noise | rounds | control | told apart: 3 rows | a verdict | interval misses |"
    );
    println!("|---|---|---|---|---|---|");
    for noise in Noise::all() {
        for rounds in ROUNDS {
            for control in Control::ALL {
                let of = |rows| level(noise, control, Judged::Relative, rows, rounds);
                let (three, two) = (of(3), of(2));
                let (name, kind) = (noise.name(), control.name());
                let (rejected, verdict, missed) = (three.rejected, three.verdict, two.missed);
                println!(
                    "| {name} | {rounds} | {kind} | {} | {} | {} |",
                    rejected.text(),
                    verdict.text(),
                    missed.text()
                );
                let what = format!("relative, {name}, {rounds} rounds, control {kind}");
                rejected.at_most(LEVEL, &what);
                verdict.at_most(LEVEL, &what);
                missed.at_most(LEVEL, &what);
            }
        }
    }
}

/// What `compare` sees of a row in a run: its log ratios to the row that has not changed.
fn ratios(table: &Table, row: usize, judged: Judged) -> Vec<f64> {
    let pairs = table.rows[row].iter().map(|(block, own)| (*own, table.rows[0][block]));
    pairs.map(|(own, base)| (judged.of(own) / judged.of(base)).ln()).collect()
}

/// Shares of pairs of runs in which some of two rows is significant, fails, and in which a row that costs 5 % more fails.
fn compared(noise: Noise, by: Judged, rounds: u32) -> [Share; 3] {
    /// As `compare` has it.
    const ALLOWED: f64 = 0.02;
    let mut shares = [Share::default(); 3];
    let level = shared_level(2, CONFIDENCE);
    for seed in 0..tables() as u64 {
        let run = |seed: u64, truths: &[(f64, f64)]| {
            let table = Machine::new(seed, noise, Control::Near).table(truths, rounds);
            [1, 2].map(|row| ratios(&table, row, by))
        };
        let (equal, slower) = (truths(&[], 3), truths(&[(1.0, 1.0), (1.05, 1.0)], 3));
        let old = run(2 * seed, &equal);
        let judged = |new: &[Vec<f64>; 2]| {
            let both = old.iter().zip(new).map(|(old, new)| RankSum::new(old, new));
            let both: Vec<(f64, f64)> =
                both.map(|ranks| (ranks.p_value(), ranks.shift().exp() - 1.0)).collect();
            let fails = both.iter().any(|(p, shift)| *p <= regression_level(level) && *shift > ALLOWED);
            (both.iter().any(|(p, _)| *p <= level), fails)
        };
        let (same, changed) = (judged(&run(2 * seed + 1, &equal)), judged(&run(2 * seed + 1, &slower)));
        shares[0].add(same.0);
        shares[1].add(same.1);
        shares[2].add(changed.1);
    }
    shares
}

#[test]
fn two_runs_of_equal_builds_hardly_ever_differ() {
    println!(
        "\n| `compare`: noise | rounds | relative: significant, exit 4; 5 % more: exit 4 | own cost: the same |"
    );
    println!("|---|---|---|---|");
    for noise in Noise::all() {
        for rounds in ROUNDS {
            let ways = [Judged::Relative, Judged::Own].map(|by| compared(noise, by, rounds));
            let cell = |[significant, fails, found]: [Share; 3]| {
                format!("{}, {}; {}", significant.text(), fails.text(), found.text())
            };
            println!("| {} | {rounds} | {} | {} |", noise.name(), cell(ways[0]), cell(ways[1]));
            for [significant, fails, _] in ways {
                let what = format!("compare, {}, {rounds} rounds", noise.name());
                significant.at_most(LEVEL, &what);
                fails.at_most(0.01, &what);
            }
        }
    }
}

#[test]
fn what_true_differences_are_found() {
    println!("\n| noise | rounds | true difference | found: own cost | relative | the rule before |");
    println!("|---|---|---|---|---|---|");
    for noise in REAL {
        for rounds in [10, 20] {
            for percent in [1, 2, 3, 5] {
                let slower = 1.0 + f64::from(percent) / 100.0;
                let truths = truths(&[(1.0, 1.0), (slower, 1.0)], 3);
                let mut found = [Share::default(); 3];
                for seed in 0..tables() as u64 {
                    let table = Machine::new(seed, noise, Control::Near).table(&truths, rounds);
                    let by = |judged: Judged| {
                        judge(&table.sample(judged), metric::SERVER_CPU, CONFIDENCE).rows[1].verdict
                    };
                    let former = former::judge(&table, CONFIDENCE)[0];
                    let verdicts = [by(Judged::Own), by(Judged::Relative), former];
                    for (share, verdict) in found.iter_mut().zip(verdicts) {
                        share.add(verdict == Verdict::Greater);
                    }
                }
                let [own, relative, former] = found.map(Share::text);
                println!("| {} | {rounds} | {percent} % | {own} | {relative} | {former} |", noise.name());
                // Noise of several percent that the ends do not share hides such a difference, as does a full client.
                let is_quiet = !matches!(noise, Noise::Real("q-closed-100" | "q-one-way-10000"));
                if percent == 5 && is_quiet {
                    assert!(rounds == 10 || found[0].value() >= 0.9, "{noise:?}: {own}");
                    assert!(found[1].value() >= 0.9, "{noise:?}: {relative}");
                }
            }
        }
    }
}

/// As many rounds as nobody should have to wait for: this took hours when distributions were built again at every cut.
#[test]
fn many_rounds_of_many_rows_are_judged_at_once() {
    let table = Machine::new(1, Noise::Normal(0.02), Control::Near).table(&truths(&[], 15), 200);
    let judgement = judge(&table.sample(Judged::Own), metric::SERVER_CPU, CONFIDENCE);
    assert_eq!((judgement.rows.len(), judgement.pairs.len()), (15, 15 * 14 / 2));
    let ranks = RankSum::new(&ratios(&table, 1, Judged::Own), &ratios(&table, 2, Judged::Own));
    assert!(ranks.interval(LEVEL).is_some());
}
