//! `export`: results as files for other programs.

use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};

use crate::{
    analysis::{
        confidence::{DEFAULT_CONFIDENCE, parse_confidence},
        objective::{DEFAULT_SLO, Slo},
        results::Results,
    },
    exit::{FAILED, OK, Stop},
    output::{
        charts::drawings, files::replace, hgrm::histograms, print::print, terminal::say, trials_csv::trials,
    },
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
        FileFormat::Svg => drawings(&results, arguments.confidence, arguments.slo)
            .into_iter()
            .map(|(id, svg)| (format!("{id}.svg"), svg))
            .collect(),
    };
    let write = |name: &str, text: &str| {
        let path = arguments.out.join(name);
        replace(&path, text.as_bytes()).map(|()| path)
    };
    let refuse = |error| Stop::failed(format!("{} cannot be written: {error}", arguments.out.display()));
    fs::create_dir_all(&arguments.out).map_err(refuse)?;
    for (name, text) in &files {
        let path = write(name, text)?;
        print(&format!("{}\n", path.display()));
    }
    Ok(if results.problems.is_empty() { OK } else { FAILED })
}
