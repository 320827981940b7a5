//! `table`: prints the table of result files again.

use std::path::PathBuf;

use clap::Args;
use trial::metric::{self, Metric};

use crate::{
    analysis::{
        confidence::{DEFAULT_CONFIDENCE, parse_confidence},
        group::{Group, RowFigures},
        objective::{DEFAULT_SLO, Slo},
        results::Results,
        summary::Summary,
    },
    exit::{FAILED, OK, Stop, unknown},
    output::{
        print::print,
        table::{Format, render},
        terminal::say,
        text::count,
    },
};

/// Flags of `table`.
#[derive(Args, Clone, Debug)]
pub struct TableArguments {
    /// Result files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the table is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Confidence of intervals and verdicts
    #[arg(long, value_name = "SHARE", value_parser = parse_confidence, default_value_t = DEFAULT_CONFIDENCE)]
    confidence: f64,
    /// Latency objective of a curve: its table names the highest rate that holds it
    #[arg(long, value_name = "OBJECTIVE", value_parser = Slo::parse, default_value = DEFAULT_SLO)]
    slo: Slo,
    /// Metrics beside the one that ranks, separated by commas, such as rate,p99,server_rss_peak
    #[arg(long, value_name = "METRICS", value_delimiter = ',')]
    columns: Vec<String>,
    /// File that the table replaces, whole; stdout when not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Prints the table, or writes it to a file.
///
/// # Errors
/// When a column is unknown, or the file cannot be written.
pub fn table(arguments: &TableArguments) -> Result<u8, Stop> {
    let TableArguments { files, confidence, slo, .. } = arguments;
    let columns = chosen(&arguments.columns)?;
    let results = Results::read(files);
    if !results.trials.is_empty() {
        let mut summary = Summary::new(&results, *confidence);
        if !columns.is_empty() {
            summary.show(&columns);
        }
        let table = render(&summary, &results, arguments.format, *slo);
        for row in without_figures(&summary) {
            say(&format!("note: {row}"));
        }
        match &arguments.out {
            Some(path) => crate::output::files::replace(path, table.as_bytes())?,
            None => print(&table),
        }
    }
    for problem in &results.problems {
        say(&format!("error: {problem}"));
    }
    if results.trials.is_empty() && results.problems.is_empty() {
        say(&format!("error: no trial in {}", files[0].display()));
    }
    Ok(if results.problems.is_empty() && !results.trials.is_empty() { OK } else { FAILED })
}

/// Rows that were measured and have no figure, because every trial failed: programs that read the table cannot see them.
fn without_figures(summary: &Summary) -> Vec<String> {
    let of_group = |group: &Group| -> Vec<String> {
        let rows = group.rows.iter().filter(|row| row.failed > 0 && row.figures.is_empty());
        let line = |row: &RowFigures| {
            format!(
                "{} has no figures in {}: {} failed",
                group.compared(row),
                group.name(),
                count(row.failed, "trial")
            )
        };
        rows.map(line).collect()
    };
    summary.groups.iter().flat_map(of_group).collect()
}

/// The metrics of those names.
fn chosen(names: &[String]) -> Result<Vec<Metric>, Stop> {
    let known: Vec<&str> = metric::ALL.iter().map(|metric| metric.name).collect();
    let by_name = |name: &String| {
        // As headings have it as well: p99.9 and p99_9.
        let name = name.trim().replace('.', "_");
        metric::by_name(&name).ok_or_else(|| unknown("metric", &name, &known))
    };
    names.iter().map(by_name).collect()
}
