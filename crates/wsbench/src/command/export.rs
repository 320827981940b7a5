//! `export`: results as files for other programs.

use std::{fs, path::PathBuf};

use bench_core::{
    histogram::Series,
    metric::{self, figures},
    record::Record,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{
    analysis::{curve::Slo, results::Results, rounds::Merged, summary::Summary},
    command::run::{DEFAULT_CONFIDENCE, DEFAULT_SLO, parse_confidence},
    exit::{FAILED, OK, Stop},
    output::{files, page, terminal::say, text::cell},
};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// trials.csv: one line a trial, one column a figure, in base units
    Csv,
    /// One file for each distribution of each row, for HdrHistogram's plotter; values in microseconds
    Hgrm,
    /// One file for each chart of the report
    Svg,
}

/// Flags of `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArguments {
    /// Result files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What is written
    #[arg(long, value_enum)]
    format: FileFormat,
    /// Folder for the files; it is made where it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Confidence of intervals
    #[arg(long, value_name = "SHARE", value_parser = parse_confidence, default_value_t = DEFAULT_CONFIDENCE)]
    confidence: f64,
    /// Latency objective of a curve
    #[arg(long, value_name = "OBJECTIVE", value_parser = Slo::parse, default_value = DEFAULT_SLO)]
    slo: Slo,
}

/// Writes the files and names each on stdout.
///
/// # Errors
/// When there is nothing to write, or it cannot be written.
pub fn export(arguments: &ExportArguments) -> Result<u8, Stop> {
    let results = Results::read(&arguments.files);
    for problem in &results.problems {
        say(&format!("error: {problem}"));
    }
    if results.trials.is_empty() {
        return Err(Stop::failed(format!("no trial in {}", arguments.files[0].display())));
    }
    let files = match arguments.format {
        FileFormat::Csv => vec![("trials.csv".to_owned(), trials(&results))],
        FileFormat::Hgrm => histograms(&results, arguments.confidence),
        FileFormat::Svg => page::drawings(&results, arguments.confidence, arguments.slo)
            .into_iter()
            .map(|(id, svg)| (format!("{id}.svg"), svg))
            .collect(),
    };
    let write = |name: &str, text: &str| {
        let path = arguments.out.join(name);
        files::replace(&path, text.as_bytes()).map(|()| path)
    };
    let refuse = |error| Stop::failed(format!("{} cannot be written: {error}", arguments.out.display()));
    fs::create_dir_all(&arguments.out).map_err(refuse)?;
    for (name, text) in &files {
        let path = write(name, text)?;
        crate::exit_quietly_on_closed_pipe(&format!("{}\n", path.display()));
    }
    Ok(if results.problems.is_empty() { OK } else { FAILED })
}

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
fn trials(results: &Results) -> String {
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

/// Each row's distributions, all rounds together.
fn histograms(results: &Results, confidence: f64) -> Vec<(String, String)> {
    let summary = Summary::new(results, confidence);
    let mut files = Vec::new();
    for card in page::cards(&summary, results) {
        for row in &card.group.rows {
            for series in
                [Series::RoundTrip, Series::FromIntended, Series::PushLag, Series::ConnectToFirstPush]
            {
                let Some(merged) = card.rounds.merged((&row.server, &row.client), series) else { continue };
                let what = serde_json::to_value(series).ok();
                let what = what.as_ref().and_then(serde_json::Value::as_str).unwrap_or("series");
                let name = page::id_of(&format!("{}-{}-{}-{what}", card.id, row.server, row.client));
                files.push((format!("{name}.hgrm"), hgrm(merged)));
            }
        }
    }
    files
}

/// The text that HdrHistogram's own tools print: five lines for each halving of what is left above.
fn hgrm(merged: &Merged) -> String {
    const TICKS: u32 = 5;
    let histogram = &merged.histogram;
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let micros = |ns: u64| ns as f64 / 1e3;
    let mut below = 0;
    let mut line = |value: u64, quantile: f64, below: u64| {
        let rest = 1.0 - quantile;
        let inverse = if rest > 0.0 { format!("{:>14.2}", 1.0 / rest) } else { String::new() };
        text.push_str(&format!("{:>12.3} {quantile:>14.12} {below:>10} {inverse}\n", micros(value)));
    };
    let mut counted = 0;
    for step in histogram.iter_quantiles(TICKS) {
        below += step.count_since_last_iteration();
        counted = below;
        line(step.value_iterated_to().min(merged.max_ns), step.quantile_iterated_to(), below);
    }
    text.push_str(&format!(
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]\n#[Max     = {:>12.3}, Total count    = {:>12}]\n\
         #[Buckets = {:>12}, SubBuckets     = {:>12}]\n",
        histogram.mean() / 1e3,
        histogram.stdev() / 1e3,
        micros(merged.max_ns),
        counted,
        histogram.buckets(),
        2048,
    ));
    text
}
