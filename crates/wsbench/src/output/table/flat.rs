//! One line a figure, for programs: what JSON and CSV give.

use std::borrow::Cow;

use bench_core::spec::Role;
use schemars::JsonSchema;
use serde::Serialize;
use trial::metric;

use super::cells::VerdictWord;
use crate::{analysis::summary::Summary, output::text::cell};

/// A figure as JSON and CSV give it.
#[derive(Serialize, JsonSchema)]
pub(super) struct FlatFigure<'a> {
    scenario: Cow<'a, str>,
    role: Role,
    server: Cow<'a, str>,
    client: Cow<'a, str>,
    placement: String,
    metric: &'static str,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    rounds: usize,
    baseline: Cow<'a, str>,
    ratio: Option<f64>,
    ratio_min: Option<f64>,
    ratio_max: Option<f64>,
    ratio_low: Option<f64>,
    ratio_high: Option<f64>,
    verdict: Option<&'static str>,
    rank: Option<usize>,
    marks: String,
    /// What tells these figures from others of the same scenario, where files hold runs that are not alike.
    apart: Option<String>,
}

/// Every figure of a summary.
pub(super) fn figures(summary: &Summary) -> Vec<FlatFigure<'_>> {
    let mut flat = Vec::new();
    for group in &summary.groups {
        for row in group.rows.iter().chain(&group.twin) {
            for metric in metric::ALL {
                let Some(figure) = row.figures.get(metric.name) else { continue };
                // The interval of a metric that is judged is the corrected one, on which its verdict rests.
                let judged = row.judged_by(*metric);
                let bounds = judged
                    .and_then(|judged| judged.interval)
                    .or(figure.ratio.and_then(|ratio| ratio.interval));
                let marks = row.marks.keys().map(|mark| mark.name());
                flat.push(FlatFigure {
                    scenario: Cow::Borrowed(&group.scenario.name),
                    role: group.role,
                    server: Cow::Borrowed(&row.server),
                    client: Cow::Borrowed(&row.client),
                    placement: group.placement.to_string(),
                    metric: metric.name,
                    unit: metric.unit.name(),
                    median: figure.median,
                    min: figure.min,
                    max: figure.max,
                    rounds: figure.rounds,
                    baseline: Cow::Borrowed(&group.baseline),
                    ratio: judged.and_then(|judged| judged.ratio).or(figure.ratio.map(|ratio| ratio.median)),
                    ratio_min: figure.ratio.map(|ratio| ratio.min),
                    ratio_max: figure.ratio.map(|ratio| ratio.max),
                    ratio_low: bounds.map(|bounds| bounds.0),
                    ratio_high: bounds.map(|bounds| bounds.1),
                    verdict: judged
                        .and_then(|judged| VerdictWord::of(*metric, judged.verdict))
                        .map(VerdictWord::text),
                    rank: judged.and_then(|judged| judged.rank),
                    marks: marks.collect::<Vec<_>>().join(" "),
                    apart: (!group.apart.is_empty()).then(|| group.apart.join(", ")),
                });
            }
        }
    }
    flat
}

/// The JSON Schema of `table --format json`.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Vec<FlatFigure<'static>>)
}

/// The figures as CSV.
pub(super) fn csv(summary: &Summary) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for mut figure in figures(summary) {
        for name in [&mut figure.scenario, &mut figure.server, &mut figure.client, &mut figure.baseline] {
            *name = Cow::Owned(cell(name));
        }
        writer.serialize(figure).expect("a flat struct is a CSV line and a Vec takes it");
    }
    let bytes = writer.into_inner().expect("a Vec takes every write");
    String::from_utf8(bytes).expect("CSV of strings and numbers is UTF-8")
}
