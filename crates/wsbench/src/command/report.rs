//! `report`: results as one HTML page that needs nothing else.

use std::path::PathBuf;

use clap::Args;

use crate::{
    analysis::{
        confidence::{DEFAULT_CONFIDENCE, parse_confidence},
        objective::{DEFAULT_SLO, Slo},
        results::Results,
    },
    exit::{FAILED, OK, Stop},
    output::{files, page::html, print::print, terminal::say},
};

/// Flags of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArguments {
    /// Result files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The page; report.html beside the first file when not given
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Confidence of intervals and verdicts
    #[arg(long, value_name = "SHARE", value_parser = parse_confidence, default_value_t = DEFAULT_CONFIDENCE)]
    confidence: f64,
    /// Latency objective of a curve
    #[arg(long, value_name = "OBJECTIVE", value_parser = Slo::parse, default_value = DEFAULT_SLO)]
    slo: Slo,
}

/// Writes the page and names it on stdout.
///
/// # Errors
/// When there is nothing to show, or the page cannot be written.
pub fn report(arguments: &ReportArguments) -> Result<u8, Stop> {
    let results = Results::read(&arguments.files);
    for problem in &results.problems {
        say(&format!("error: {problem}"));
    }
    if results.trials.is_empty() {
        return Err(Stop::failed(format!("no trial in {}", arguments.files[0].display())));
    }
    let path = arguments.out.clone().unwrap_or_else(|| arguments.files[0].with_file_name("report.html"));
    let html = html(&results, arguments.confidence, arguments.slo);
    files::replace(&path, html.as_bytes())?;
    print(&format!("{}\n", path.display()));
    Ok(if results.problems.is_empty() { OK } else { FAILED })
}
