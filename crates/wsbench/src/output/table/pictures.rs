//! Pictures made of characters, for a terminal: a ratio as a bar around 1, a distribution as a sparkline.

use std::collections::BTreeMap;

use units::{Unit, human, three_digits};

use crate::analysis::{
    group::{Group, RowFigures},
    results::Results,
    rounds::{Merged, Rounds, latency},
};

/// Characters on each side of a bar's middle: so a bar is as wide as its header, `÷1.25 … ×1.25`.
const SIDE: usize = 6;

/// A bar's scale ends at least 5 % away from 1, so that equal rows look equal.
const LEAST_END: f64 = 1.05;

/// Characters of a sparkline: as many as its header, `round trip 8.14 µs … 12.1 ms`, mostly has.
const BINS: usize = 28;

/// A sparkline reaches from p0.1 to p99.9 of the rows together; what lies beyond counts in the last character.
const ENDS: (f64, f64) = (0.001, 0.999);

/// Heights of a sparkline's characters; what has a sample has at least the first.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What a group's table shows beside its numbers.
#[derive(Default)]
pub(super) struct Pictures {
    /// Ratios of the ranking metric to the baseline.
    pub(super) bars: Option<Column>,
    /// Distributions of the latency, on one logarithmic scale.
    pub(super) sparklines: Option<Column>,
}

impl Pictures {
    /// What there is to draw for a group of these results.
    pub(super) fn of(group: &Group, results: &Results) -> Pictures {
        Pictures { bars: bars(group), sparklines: sparklines(group, results) }
    }
}

/// A header, and the cells by server and client.
pub(super) struct Column {
    pub(super) header: String,
    cells: BTreeMap<(String, String), String>,
}

impl Column {
    pub(super) fn cell(&self, row: &RowFigures) -> String {
        self.cells.get(&key(row)).cloned().unwrap_or_default()
    }
}

fn key(row: &RowFigures) -> (String, String) {
    (row.server.clone(), row.client.clone())
}

fn bars(group: &Group) -> Option<Column> {
    let ratio = |row: &RowFigures| {
        if group.compared(row) == group.baseline {
            return Some(1.0);
        }
        let ratio = row.figures.get(group.ranking.name)?.ratio?;
        let judged = row.judged_by(group.ranking);
        judged.and_then(|judged| judged.ratio).or(Some(ratio.median)).filter(|ratio| *ratio > 0.0)
    };
    let ratios: Vec<_> = group.rows.iter().filter_map(|row| Some((key(row), ratio(row)?))).collect();
    if ratios.len() < 2 {
        return None;
    }
    let end = ratios.iter().map(|(_, ratio)| ratio.ln().abs()).fold(LEAST_END.ln(), f64::max);
    let header = format!("÷{0} … ×{0}", three_digits(end.exp()));
    Some(Column { header, cells: ratios.into_iter().map(|(key, ratio)| (key, bar(ratio, end))).collect() })
}

/// A bar from 1 to `ratio`, on a log scale that ends at e^`end` and 1 ÷ e^`end`.
fn bar(ratio: f64, end: f64) -> String {
    let halves = (ratio.ln().abs() / end * (2 * SIDE) as f64).round() as usize;
    let whole = "█".repeat(halves / 2);
    let half = |character| if halves % 2 == 1 { character } else { "" };
    if ratio < 1.0 {
        format!("{:>SIDE$}│{:SIDE$}", half("▐").to_owned() + &whole, "")
    } else {
        format!("{:SIDE$}│{:<SIDE$}", "", whole + half("▌"))
    }
}

fn sparklines(group: &Group, results: &Results) -> Option<Column> {
    let rounds = Rounds::of(group, results);
    let (series, _, name) = latency(group, &rounds)?;
    let merged: Vec<_> = group
        .rows
        .iter()
        .filter_map(|row| Some((key(row), rounds.merged((&row.server, &row.client), series)?)))
        .collect();
    let at =
        |q: f64| merged.iter().map(move |(_, merged)| merged.histogram.value_at_quantile(q).max(1) as f64);
    let (least, most) = (at(ENDS.0).fold(f64::INFINITY, f64::min), at(ENDS.1).fold(1.0, f64::max));
    if least >= most {
        return None;
    }
    let [from, to] = [least, most].map(|ns| human(ns, Unit::Nanoseconds));
    let cells = merged.iter().map(|(key, merged)| (key.clone(), sparkline(merged, least, most)));
    Some(Column { header: format!("{name} {from} … {to}"), cells: cells.collect() })
}

/// How many samples lie where between two durations, logarithmically, as heights over the highest.
fn sparkline(merged: &Merged, least: f64, most: f64) -> String {
    let mut counts = [0_u64; BINS];
    for step in merged.histogram.iter_recorded() {
        let place = (step.value_iterated_to().max(1) as f64 / least).ln() / (most / least).ln();
        let bin = (place.clamp(0.0, 1.0) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += step.count_since_last_iteration();
    }
    let highest = counts.iter().copied().max().unwrap_or(0).max(1);
    let height = |count: &u64| match *count {
        0 => ' ',
        // At most the last one, because no count is above the highest.
        count => HEIGHTS[((count * HEIGHTS.len() as u64).div_ceil(highest) - 1) as usize],
    };
    counts.iter().map(height).collect()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;
    use crate::analysis::{
        results::tests::{session, trial},
        summary::Summary,
    };

    #[test]
    fn bars_start_at_one_and_end_at_the_scales_end() {
        let end = 2_f64.ln();
        assert_eq!(bar(1.0, end), "      │      ");
        assert_eq!(bar(2.0, end), "      │██████");
        assert_eq!(bar(0.5, end), "██████│      ");
        assert_eq!(bar(1.06, end), "      │▌     ");
        assert_eq!(bar(0.94, end), "     ▐│      ");
        assert!([0.5, 0.9, 1.0, 1.3].iter().all(|ratio| bar(*ratio, end).chars().count() == 2 * SIDE + 1));
    }

    #[test]
    fn a_sparkline_shows_where_samples_lie() {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(1_000, 80).unwrap();
        histogram.record_n(31_000, 20).unwrap();
        histogram.record_n(5_000_000, 1).unwrap();
        let line = sparkline(&Merged { histogram, max_ns: 5_000_000 }, 1_000.0, 1_000_000.0);
        assert_eq!(line.chars().count(), BINS);
        assert_eq!((line.chars().next(), line.chars().last()), (Some('█'), Some('▁')));
        assert_eq!(line.chars().nth(BINS / 2 - 1), Some('▂'), "{line}");
        assert_eq!(line.chars().filter(|character| *character != ' ').count(), 3);
    }

    #[test]
    fn only_what_was_measured_is_drawn() {
        let trials = (0..2).flat_map(|block| [trial("tokio", block, 0, 5), trial("smol", block, 1, 6)]);
        let results = Results { sessions: vec![session()], trials: trials.collect(), ..Results::default() };
        let group = &Summary::new(&results, 0.95).groups[0];
        let bars = Pictures::of(group, &results).bars.unwrap();
        assert_eq!(bars.header, "÷1.20 … ×1.20");
        assert_eq!(bars.cell(&group.rows[1]), "      │██████");
    }
}
