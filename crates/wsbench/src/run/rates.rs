//! The rates of a curve, found during the run: doubled until a row is beyond saturation, and then bisected around
//! the highest rate that holds the latency objective.
//!
//! Whatever is decided rests on all rounds of the points so far, so that one disturbed trial misleads no search.

use std::collections::{BTreeMap, BTreeSet};

use trial::{mark::Mark, record::FoundPoint};

use crate::analysis::{
    curve::{Point, held, points_of_rows, rate},
    group::Group,
    objective::Slo,
};

/// Beyond what any pair of processes on one machine exchanges: where doubling ends in any case.
const HIGHEST: u64 = 1 << 22;

/// How close the highest rate that holds and the lowest that fails are brought together: a tenth is about what the knee of
/// one row moves by from run to run.
const CLOSE: f64 = 1.1;

/// The points to measure next, each for the rows that need it; none once every row of every curve has its answer.
pub fn next_wave(groups: &[Group], slo: Slo) -> Vec<FoundPoint> {
    let mut curves: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    for group in groups.iter().filter(|group| group.scenario.finds_rates) {
        if let Some(curve) = &group.scenario.curve {
            curves.entry(curve).or_default().push(group);
        }
    }
    let mut wave = Vec::new();
    for mut groups in curves.into_values() {
        groups.sort_by_key(|group| rate(group));
        let mut rows: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for (row, points) in points_of_rows(&groups) {
            if let Some(rate) = next_rate(&points, slo) {
                rows.entry(rate).or_default().insert(row.to_owned());
            }
        }
        let point = |(rate, rows)| FoundPoint { scenario: groups[0].scenario.at_rate(rate), rows };
        wave.extend(rows.into_iter().map(point));
    }
    wave
}

/// The rate that one row needs next. `points` go from its lowest rate to its highest.
fn next_rate(points: &[Point<'_>], slo: Slo) -> Option<u64> {
    let last = points.last()?;
    // A point that failed in every round says no less than one that is saturated.
    let is_beyond = last.row.figures.is_empty()
        || [Mark::ServerSaturated, Mark::GeneratorLate].into_iter().any(|mark| last.has(mark));
    if !is_beyond && last.rate_per_s < HIGHEST {
        return Some(last.rate_per_s * 2);
    }
    let held = held(points, slo);
    let low = points.get(held.checked_sub(1)?)?.rate_per_s as f64;
    let high = points.get(held)?.rate_per_s as f64;
    let middle = two_digits((low * high).sqrt());
    (high / low > CLOSE && (low..high).contains(&middle) && middle > low).then_some(middle as u64)
}

/// Rounded to two significant digits: a rate that people can read, and that several rows may share.
fn two_digits(rate: f64) -> f64 {
    let unit = 10_f64.powf(rate.log10().floor() - 1.0);
    (rate / unit).round() * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::curve::tests::row;

    /// What a row that holds up to `capacity` and saturates at twice that is asked for, until nothing more is.
    fn search(capacity: u64) -> Vec<u64> {
        let mut asked = vec![1_000];
        loop {
            let mut rates = asked.clone();
            rates.sort_unstable();
            let rows: Vec<_> = rates
                .iter()
                .map(|rate| {
                    let marks = if *rate >= 2 * capacity { &[Mark::ServerSaturated][..] } else { &[] };
                    row(if *rate <= capacity { 0.1 } else { 5.0 }, marks)
                })
                .collect();
            let points: Vec<Point<'_>> =
                rates.iter().zip(&rows).map(|(rate, row)| Point { rate_per_s: *rate, row }).collect();
            match next_rate(&points, Slo::default()) {
                None => return asked,
                Some(rate) => asked.push(rate),
            }
        }
    }

    #[test]
    fn rates_are_doubled_until_saturation_and_then_bisected_around_the_objective() {
        assert_eq!(
            search(25_000),
            [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 23_000, 27_000, 25_000]
        );
    }

    #[test]
    fn a_row_that_holds_at_no_rate_is_not_searched_below_the_first() {
        assert_eq!(search(400), [1_000]);
    }

    #[test]
    fn rates_are_rounded() {
        assert_eq!(two_digits(22_627.4), 23_000.0);
        assert_eq!(two_digits(1_414.2), 1_400.0);
    }
}
