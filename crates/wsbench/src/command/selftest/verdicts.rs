//! What trials say of their rows, and how that is shown.

use trial::{
    metric::{self, Metric},
    record::Record,
};

use crate::analysis::{
    group::Group,
    results::Results,
    summary::Summary,
    verdict::{Judged, Verdict},
};

/// Of every comparison. A selftest is repeated, and at 95 % it would miss a known ratio in one of twenty.
pub(super) const CONFIDENCE: f64 = 0.99;

/// The rows of one scenario, judged as `run` and `table` judge them.
pub(super) struct Verdicts {
    group: Option<Group>,
}

impl Verdicts {
    pub(super) fn of(trials: Vec<Record>) -> Verdicts {
        let results = Results { trials, ..Results::default() };
        Verdicts { group: Summary::new(&results, CONFIDENCE).groups.pop() }
    }

    /// What is said of a row by a metric; `None` where it is not judged by that.
    pub(super) fn of_row(&self, row: &str, metric: Metric) -> Option<Judged> {
        self.group.as_ref()?.rows.iter().find(|figures| figures.server == row)?.judged_by(metric)
    }
}

/// The figures of a metric of those trials that count.
pub(super) fn figures<'a>(trials: impl Iterator<Item = &'a Record>, metric: Metric) -> Vec<f64> {
    trials.filter_map(|trial| metric::figures(trial).get(metric.name).copied()).collect()
}

pub(super) fn shown(judged: Option<&Judged>) -> String {
    let Some(judged) = judged else { return "not judged".to_owned() };
    let word = match judged.verdict {
        Verdict::Greater => "slower",
        Verdict::Less => "faster",
        Verdict::Tie => "tie",
        Verdict::Baseline | Verdict::TooFew { .. } => "no verdict",
    };
    let ratio = judged.ratio.map_or(String::new(), |ratio| format!(", {ratio:.3} times"));
    let interval = judged.interval.map_or(String::new(), |(low, high)| format!(" [{low:.3} … {high:.3}]"));
    format!("{word}{ratio}{interval}")
}
