//! Figures for services that track benchmarks over time.

use std::collections::BTreeMap;

use serde::Serialize;
use trial::metric::{self, Metric};

use crate::analysis::{
    group::{Figure, Group, RowFigures},
    summary::Summary,
};

/// One figure in Bencher Metric Format.
#[derive(Serialize)]
struct Measure {
    value: f64,
    lower_value: f64,
    upper_value: f64,
}

/// Bencher Metric Format: by benchmark and measure, the median with the least and the greatest round.
pub(crate) fn bencher(summary: &Summary) -> String {
    let mut benchmarks: BTreeMap<String, BTreeMap<&str, Measure>> = BTreeMap::new();
    for (group, row) in rows(summary) {
        let measures = benchmarks.entry(name(group, row)).or_default();
        for (metric, figure) in figures(row) {
            let Figure { median, min, max, .. } = *figure;
            measures.insert(metric.name, Measure { value: median, lower_value: min, upper_value: max });
        }
    }
    json(&benchmarks)
}

/// One figure as github-action-benchmark takes it with `customSmallerIsBetter`.
#[derive(Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
    range: f64,
    extra: String,
}

/// The JSON of github-action-benchmark's `customSmallerIsBetter`: every figure of which less is better, with half the
/// distance between the least and the greatest round as its range.
pub(crate) fn github(summary: &Summary) -> String {
    let mut entries = Vec::new();
    for (group, row) in rows(summary) {
        for (metric, figure) in figures(row).filter(|(metric, _)| !metric.higher_is_better) {
            entries.push(Entry {
                name: format!("{} {}", name(group, row), metric.name),
                unit: metric.unit.name(),
                value: figure.median,
                range: (figure.max - figure.min) / 2.0,
                extra: format!("{} rounds, {}", figure.rounds, group.placement),
            });
        }
    }
    json(&entries)
}

fn rows(summary: &Summary) -> impl Iterator<Item = (&Group, &RowFigures)> {
    summary.groups.iter().flat_map(|group| group.rows.iter().map(move |row| (group, row)))
}

fn figures(row: &RowFigures) -> impl Iterator<Item = (Metric, &Figure)> {
    metric::ALL.iter().filter_map(|metric| Some((*metric, row.figures.get(metric.name)?)))
}

fn name(group: &Group, row: &RowFigures) -> String {
    format!("{}/{}/{}", group.scenario.name, row.server, row.client)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("names and finite numbers are JSON") + "\n"
}
