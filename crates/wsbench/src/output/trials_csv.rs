//! Trials as CSV.

use serde::Serialize;
use trial::{
    metric::{self, figures},
    record::Record,
};

use super::text::cell;
use crate::analysis::results::Results;

/// What every line of the CSV begins with.
#[derive(Serialize)]
struct Head {
    session: String,
    round: u32,
    block: u32,
    order: u32,
    scenario: String,
    role: String,
    placement: String,
    server: String,
    client: String,
    marks: String,
    error: String,
}

/// One line a trial, failed ones included: what it was, and each of its figures in the metric's base unit.
pub(crate) fn trials(results: &Results) -> String {
    let head = |trial: &Record| Head {
        session: cell(&trial.session),
        round: trial.round,
        block: trial.block,
        order: trial.order,
        scenario: cell(&trial.scenario.name),
        role: trial.role.to_string(),
        placement: trial.placement.to_string(),
        server: cell(&trial.server.row),
        client: cell(&trial.client.row),
        marks: trial.marks.iter().map(|mark| mark.name()).collect::<Vec<_>>().join(" "),
        error: trial.error.as_ref().map_or(String::new(), |error| cell(&error.to_string())),
    };
    let lines: Vec<_> = results.trials.iter().map(|trial| (head(trial), figures(trial))).collect();
    // Only metrics that some trial has: a column of nothing says nothing.
    let metrics: Vec<&metric::Metric> = metric::ALL
        .iter()
        .filter(|metric| lines.iter().any(|(_, own)| own.contains_key(metric.name)))
        .collect();
    let names = [
        "session",
        "round",
        "block",
        "order",
        "scenario",
        "role",
        "placement",
        "server",
        "client",
        "marks",
        "error",
    ];
    let units = metrics.iter().map(|metric| format!("{} [{}]", metric.name, metric.unit.name()));
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let header: Vec<String> = names.map(str::to_owned).into_iter().chain(units).collect();
    writer.serialize(header).expect("a Vec takes every line");
    for (head, own) in lines {
        let values: Vec<Option<f64>> = metrics.iter().map(|metric| own.get(metric.name).copied()).collect();
        writer.serialize((head, values)).expect("a Vec takes every line, and they are equally long");
    }
    let bytes = writer.into_inner().expect("a Vec takes every write");
    String::from_utf8(bytes).expect("CSV of strings and numbers is UTF-8")
}
