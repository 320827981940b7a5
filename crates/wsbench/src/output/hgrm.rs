//! Distributions as HdrHistogram's own tools write them.

use histogram::Series;

use super::{charts::card::cards, text::id_of};
use crate::analysis::{results::Results, rounds::Merged, summary::Summary};

/// Each row's distributions, all rounds together: the name of a file and its text.
pub(crate) fn histograms(results: &Results, confidence: f64) -> Vec<(String, String)> {
    let summary = Summary::new(results, confidence);
    let mut files = Vec::new();
    for card in cards(&summary, results) {
        for row in &card.group.rows {
            for series in
                [Series::RoundTrip, Series::FromIntended, Series::PushLag, Series::ConnectToFirstPush]
            {
                let Some(merged) = card.rounds.merged((&row.server, &row.client), series) else { continue };
                let what = serde_json::to_value(series).ok();
                let what = what.as_ref().and_then(serde_json::Value::as_str).unwrap_or("series");
                let name = id_of(&format!("{}-{}-{}-{what}", card.id, row.server, row.client));
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
