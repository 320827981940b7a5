//! The figures of one scenario: those of each row, and the rows together.

use std::collections::{BTreeMap, BTreeSet};

use bench_core::spec::Role;
use trial::{
    catalogue::Scenario,
    mark::Mark,
    metric::Metric,
    placement::{Cores, Placement},
};

use super::{
    statistics::median,
    verdict::{Judged, Pair, plain_interval},
};

/// All rows of one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The scenario.
    pub scenario: Scenario,
    /// What tells it from the other groups of this scenario, in words; empty where all runs are alike.
    pub apart: Vec<String>,
    /// The runs that are pooled.
    pub sessions: BTreeSet<String>,
    /// Where the processes ran.
    pub placement: Placement,
    /// Cores they ran on.
    pub cores: Cores,
    /// Which side is compared.
    pub role: Role,
    /// The metric that ranks the rows.
    pub ranking: Metric,
    /// The metrics by which rows are judged, together: the ranking one first. Empty where rows are not compared one by one.
    pub judged: Vec<JudgedMetric>,
    /// The metrics that a table shows beside it.
    pub columns: Vec<Metric>,
    /// Name of the row that the others are compared with.
    pub baseline: String,
    /// Rounds with at least one trial that counts.
    pub rounds: usize,
    /// Seeds of the shuffled orders; none where one client drove a server, which is a round with nothing to shuffle.
    pub seeds: BTreeSet<u64>,
    /// The rows, best first; the twin is not among them.
    pub rows: Vec<RowFigures>,
    /// The second measurement of the baseline.
    pub twin: Option<RowFigures>,
}

impl Group {
    /// The scenario's name and, where runs of it differ, what these were measured with.
    pub fn name(&self) -> String {
        named(&self.scenario.name, &self.apart)
    }

    /// The same of the curve that it is a point of.
    pub(crate) fn curve_name(&self) -> Option<String> {
        self.scenario.curve.as_ref().map(|curve| named(curve, &self.apart))
    }

    /// The judgement by a metric, where the group is judged by it.
    pub fn judged_by(&self, metric: Metric) -> Option<&JudgedMetric> {
        self.judged.iter().find(|judged| judged.metric == metric)
    }

    /// The name of the row that a line is about.
    pub fn compared<'a>(&self, row: &'a RowFigures) -> &'a str {
        self.role.own(&row.server, &row.client)
    }

    /// Whether a group is better shown as a matrix: some server met several clients, and some client several servers.
    pub(crate) fn is_matrix(&self) -> bool {
        type Side = fn(&RowFigures) -> &str;
        let (server, client): (Side, Side) = (|row| &row.server, |row| &row.client);
        let rows = &self.rows;
        let meets_several = |one: Side, other: Side| {
            rows.iter().any(|row| rows.iter().any(|next| one(row) == one(next) && other(row) != other(next)))
        };
        meets_several(server, client) && meets_several(client, server)
    }
}

fn named(name: &str, apart: &[String]) -> String {
    if apart.is_empty() { name.to_owned() } else { format!("{name} ({})", apart.join(", ")) }
}

/// What the judgement by one metric says beyond single rows.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedMetric {
    /// The metric.
    pub metric: Metric,
    /// How far the baseline differs from itself, as a ratio over 1.
    pub floor: Option<f64>,
    /// All pairs of rows with a rank that enough blocks hold both of, by their places in the group.
    pub pairs: Vec<Pair>,
}

impl JudgedMetric {
    /// What was shown of two rows, by their places.
    pub(crate) fn pair(&self, one: usize, other: usize) -> Option<Pair> {
        self.pairs.iter().find_map(|pair| match pair.rows {
            rows if rows == (one, other) => Some(*pair),
            rows if rows == (other, one) => Some(pair.reversed()),
            _ => None,
        })
    }
}

/// The figures of one pair of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RowFigures {
    /// Name of the server's row.
    pub server: String,
    /// Name of the client's row.
    pub client: String,
    /// What has to be known of the compared row: its maintenance status, and who counts its messages.
    pub status: Option<String>,
    /// Worker threads of the compared row.
    pub workers: u32,
    /// Trials with each mark.
    pub marks: BTreeMap<Mark, usize>,
    /// Failed trials.
    pub failed: usize,
    /// By the name of each metric that the group is judged by.
    pub judged: BTreeMap<&'static str, Judged>,
    /// Figures by the name of their metric.
    pub figures: BTreeMap<&'static str, Figure>,
}

impl RowFigures {
    /// How the row was judged by a metric.
    pub fn judged_by(&self, metric: Metric) -> Option<Judged> {
        self.judged.get(metric.name).copied()
    }

    /// Whether a figure is shown but not to be ranked by: its median is that of marked trials.
    pub(crate) fn is_spoilt(&self, metric: Metric) -> bool {
        let rounds = self.figures.get(metric.name).map_or(0, |figure| figure.rounds);
        // Siblings are those of the machine, and say nothing of this row.
        let spoils = |mark: &Mark| mark.spoils(metric) && *mark != Mark::Siblings;
        self.marks.iter().any(|(mark, trials)| spoils(mark) && 2 * trials > rounds)
    }
}

/// One figure over all rounds, in the base unit of its metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Median over rounds.
    pub median: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Rounds.
    pub rounds: usize,
    /// This row over the baseline, from the blocks that hold both; absent for the baseline itself.
    pub ratio: Option<Ratio>,
}

impl Figure {
    /// From the values of the rounds, of which there is at least one, and the ratios to the baseline where there are any.
    pub(crate) fn new(values: &[f64], ratios: &[f64], confidence: f64) -> Figure {
        let ratio = (!ratios.is_empty()).then(|| Ratio {
            median: log_median(ratios),
            interval: plain_interval(ratios, confidence),
            min: least(ratios),
            max: greatest(ratios),
        });
        Figure {
            median: median(values),
            min: least(values),
            max: greatest(values),
            rounds: values.len(),
            ratio,
        }
    }
}

/// Ratios to the baseline inside blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Median over rounds, on a log scale.
    pub median: f64,
    /// An interval that holds the true ratio with the summary's confidence, not corrected for the number of rows;
    /// absent where so few rounds cannot give one.
    pub interval: Option<(f64, f64)>,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
}

/// Best first; what has no figure comes last.
pub(crate) fn sort(rows: &mut [RowFigures], ranking: Metric) {
    let rank = |row: &RowFigures| {
        let median = row.figures.get(ranking.name).map(|figure| figure.median);
        median.map_or(f64::INFINITY, |median| if ranking.higher_is_better { -median } else { median })
    };
    rows.sort_by(|left, right| rank(left).total_cmp(&rank(right)));
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The median of ratios: between two middle values, their geometric mean, so that a ratio and its inverse are treated
/// alike.
fn log_median(ratios: &[f64]) -> f64 {
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    median(&logs).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!((log_median(&[4.0, 1.0]) - 2.0).abs() < 1e-12);
    }
}
