//! Figures for services that track benchmarks over time.

use std::collections::BTreeMap;

use serde::Serialize;
use trial::metric::{self, Metric, MetricKind};

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

/// Bencher Metric Format: by benchmark and measure, the median with the least and the greatest round. It has no place for
/// marks, so that what a mark withdraws is left out.
pub(crate) fn bencher(summary: &Summary) -> String {
    let mut benchmarks: BTreeMap<String, BTreeMap<&str, Measure>> = BTreeMap::new();
    for (group, row) in rows(summary) {
        for (metric, figure) in figures(group, row).filter(|(metric, _)| !row.is_spoilt(*metric)) {
            let Figure { median, min, max, .. } = *figure;
            let measure = Measure { value: median, lower_value: min, upper_value: max };
            benchmarks.entry(name(group, row)).or_default().insert(metric.name, measure);
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

/// The JSON of github-action-benchmark's `customSmallerIsBetter`: the costs and latencies of each row, with half the distance
/// between the least and the greatest round as its range, and the row's marks.
pub(crate) fn github(summary: &Summary) -> String {
    let mut entries = Vec::new();
    for (group, row) in rows(summary) {
        let marks: Vec<&str> = row.marks.keys().map(|mark| mark.name()).collect();
        let marks = if marks.is_empty() { String::new() } else { format!(", marks: {}", marks.join(" ")) };
        for (metric, figure) in figures(group, row) {
            entries.push(Entry {
                name: format!("{} {}", name(group, row), metric.name),
                unit: metric.unit.name(),
                value: figure.median,
                range: (figure.max - figure.min) / 2.0,
                extra: format!("{} rounds, {}{marks}", figure.rounds, group.placement),
            });
        }
    }
    json(&entries)
}

fn rows(summary: &Summary) -> impl Iterator<Item = (&Group, &RowFigures)> {
    summary.groups.iter().flat_map(|group| group.rows.iter().map(move |row| (group, row)))
}

/// The costs and latencies by which a row is judged or that its table shows: those of the compared end, of which less is
/// better. What is 0 is not a cost, and a tracker would draw its first noise as a rise without end.
fn figures<'a>(group: &Group, row: &'a RowFigures) -> impl Iterator<Item = (Metric, &'a Figure)> {
    let of_others = [
        group.role.other(metric::SERVER_CPU, metric::CLIENT_CPU),
        metric::GENERATOR_LAG_P50,
        metric::GENERATOR_LAG_P99,
    ];
    let mut metrics = vec![group.ranking];
    let further = group.judged.iter().map(|judged| judged.metric).chain(group.columns.iter().copied());
    for metric in further {
        if !metrics.contains(&metric) {
            metrics.push(metric);
        }
    }
    metrics.retain(|metric| {
        matches!(metric.kind, MetricKind::Cost | MetricKind::Latency) && !of_others.contains(metric)
    });
    metrics
        .into_iter()
        .filter_map(|metric| Some((metric, row.figures.get(metric.name)?)))
        .filter(|(_, figure)| figure.median > 0.0)
}

fn name(group: &Group, row: &RowFigures) -> String {
    format!("{}/{}/{}", group.name(), row.server, row.client)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("names and finite numbers are JSON") + "\n"
}
