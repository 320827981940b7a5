//! The four tests of the original evaluation, side by side, where the records hold them.

use trial::metric::{self, Metric};
use units::human;

use crate::{
    analysis::{group::Group, summary::Summary},
    output::text::{clean, count},
};

/// The original comparison.
pub(crate) struct Seed {
    pub(crate) rows: Vec<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) condition: String,
}

/// One figure of a test.
pub(crate) struct Line {
    pub(crate) test: &'static str,
    /// Whether it is as it was, or the corrected figure that stands beside it.
    pub(crate) is_corrected: bool,
    pub(crate) what: &'static str,
    pub(crate) cells: Vec<String>,
}

/// Test, scenario, metric, whether it is corrected, and what it is.
const FIGURES: &[(&str, &str, Metric, bool, &str)] = &[
    (
        "latency",
        "seed-latency",
        metric::FIRST_PUSH_P50,
        false,
        "as it was: connected, until the first message",
    ),
    ("latency", "seed-latency", metric::CONNECT_TO_FIRST_PUSH_P50, false, "as it was, connecting included"),
    ("latency", "seed-latency-rtt", metric::P50, true, "round trip, p50"),
    ("latency", "seed-latency-rtt", metric::P99, true, "round trip, p99"),
    ("throughput", "seed-throughput", metric::SEND_RATE, false, "as it was: until sent"),
    ("throughput", "seed-throughput", metric::RATE, true, "until acknowledged"),
    (
        "resources",
        "seed-resources-idle",
        metric::MACHINE_CPU,
        false,
        "as they were: CPU of the machine, idle",
    ),
    (
        "resources",
        "seed-resources-idle",
        metric::MACHINE_MEMORY,
        false,
        "as they were: memory of the machine, idle",
    ),
    ("resources", "seed-resources", metric::SERVER_CPU, true, "server CPU a message, 100 connections"),
    ("resources", "seed-resources", metric::SERVER_RSS_PEAK, true, "server memory, peak"),
    ("scalability", "seed-scalability", metric::TOTAL_TIME, false, "as it was: 100 × 20 messages, in all"),
    ("scalability", "seed-scalability", metric::LAG_P50, true, "lag of a message, p50"),
    ("scalability", "seed-scalability", metric::LAG_P99, true, "lag of a message, p99"),
];

/// The original comparison; `None` where no record is of it.
pub(crate) fn seed(summary: &Summary) -> Option<Seed> {
    let mut groups: Vec<&Group> =
        summary.groups.iter().filter(|group| group.scenario.name.starts_with("seed-")).collect();
    // Of runs that are not alike, the first.
    let first = groups.first()?;
    groups.retain({
        let apart = first.apart.clone();
        move |group| group.apart == apart
    });
    let mut rows: Vec<&str> = Vec::new();
    for (group, row) in groups.iter().flat_map(|group| group.rows.iter().map(move |row| (*group, row))) {
        if !rows.contains(&group.compared(row)) {
            rows.push(group.compared(row));
        }
    }
    // The two systems that were compared first, then the rows that came after.
    rows.sort_by_key(|row| (!row.starts_with("python-"), *row));
    let line =
        |(test, scenario, metric, is_corrected, what): &(&'static str, &str, Metric, bool, &'static str)| {
            let cell = |name: &&str| {
                let of = groups.iter().filter(|group| group.scenario.name == *scenario);
                let mut figures = of.flat_map(|group| group.rows.iter().map(move |row| (group, row)));
                let row = figures.find(|(group, row)| group.compared(row) == *name)?.1;
                row.figures.get(metric.name).map(|figure| human(figure.median, metric.unit))
            };
            let cells: Vec<Option<String>> = rows.iter().map(cell).collect();
            cells.iter().any(Option::is_some).then(|| Line {
                test,
                is_corrected: *is_corrected,
                what,
                cells: cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".to_owned())).collect(),
            })
        };
    let lines: Vec<Line> = FIGURES.iter().filter_map(line).collect();
    let rounds = groups.iter().map(|group| group.rounds).min()?;
    let placement = groups.first()?.placement;
    (!lines.is_empty()).then(|| Seed {
        rows: rows.iter().map(|row| clean(row)).collect(),
        lines,
        condition: format!(
            "Medians of {}, {placement}. No verdict rests on this table.",
            count(rounds, "round")
        ),
    })
}
