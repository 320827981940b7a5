//! `compare`: two runs apart in time, through a control row that both hold.
//!
//! Absolute figures of two runs differ by whatever the machine did meanwhile. The ratio of a row to the control row is
//! formed inside each block, where both saw the same machine, and only these ratios are compared between the runs.

use std::path::{Path, PathBuf};

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use trial::record::Record;

use crate::{
    analysis::{
        confidence::{DEFAULT_CONFIDENCE, parse_confidence},
        results::Results,
    },
    exit::{FAILED, OK, REGRESSION, Stop},
    output::{
        print::print,
        terminal::say,
        text::{count, percent, plain},
    },
    run::select::natural,
};

mod changes;
mod condition;
mod differences;

use changes::{Change, Outcome, Runs, changes};
use condition::Condition;
use differences::{Difference, differences, refuse};

/// Flags of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArguments {
    /// Result file, or folder of them, of the run to compare with
    base: PathBuf,
    /// Result file, or folder of them, of the new run
    new: PathBuf,
    /// Row that both runs hold and that has not changed: every other row is seen through it
    ///
    /// The more alike it is to the rows that are compared, the more of the noise it takes away: for rows of one thread, mio.
    #[arg(long, value_name = "ROW", default_value = "threads")]
    control: String,
    /// What counts as a regression: METRIC, < or >, and a change, such as `rate<-3%` or `p99>+10%`; several are possible
    ///
    /// Without it: the ranking metric of a scenario is worse by more than 2 %. The change has to be significant, too.
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse)]
    fail_if: Vec<Condition>,
    /// Differences between the runs that are accepted
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<Difference>,
    /// Confidence of intervals and verdicts
    #[arg(long, value_name = "SHARE", value_parser = parse_confidence, default_value_t = DEFAULT_CONFIDENCE)]
    confidence: f64,
}

/// Compares two runs, prints what has changed, and returns the exit code.
///
/// # Errors
/// When a file cannot be read, the runs hold no control row or nothing in common, or differ in what is not allowed.
pub fn compare(arguments: &CompareArguments) -> Result<u8, Stop> {
    let comparison = report(arguments)?;
    print(&comparison.text);
    for regression in &comparison.regressions {
        say(&format!("regression: {regression}"));
    }
    Ok(if comparison.regressions.is_empty() { OK } else { REGRESSION })
}

/// What a comparison found.
#[derive(Debug)]
pub struct Comparison {
    /// The table.
    pub text: String,
    /// The regressions, one line each.
    pub regressions: Vec<String>,
}

/// Compares two runs.
///
/// # Errors
/// The same as those of [`compare`].
pub fn report(arguments: &CompareArguments) -> Result<Comparison, Stop> {
    let (base, new) = (read(&arguments.base)?, read(&arguments.new)?);
    let differences = differences(&base, &new);
    refuse(&differences, &arguments.allow)?;
    for text in differences.values() {
        say(&format!("note: {text}"));
    }
    let CompareArguments { control, confidence, .. } = arguments;
    let runs = Runs { base: &base, new: &new, control, confidence: *confidence };
    let changes = changes(&runs, &common_scenarios(&base, &new), &arguments.fail_if);
    if changes.is_empty() {
        return Err(Stop::usage(format!(
            "nothing can be compared: both runs need the control row `{control}` and another row in the same blocks of the same \
             scenario; `--control ROW` names another one",
        )));
    }
    let regression = |change: &Change| {
        let Change { scenario, row, metric, change, .. } = change;
        format!("{scenario}, {row}: {} {} %", metric.label, percent(1.0 + change))
    };
    let regressions = changes.iter().filter(|change| change.outcome == Outcome::Regression);
    Ok(Comparison { regressions: regressions.map(regression).collect(), text: text(&runs, &changes) })
}

/// The table of all changes.
fn text(runs: &Runs<'_>, changes: &[Change]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["scenario", "row", "metric", "change", "interval", "blocks", ""]);
    for change in changes {
        let word = match change.outcome {
            Outcome::Regression => "REGRESSION",
            Outcome::Changed => "changed",
            Outcome::Noise => "",
        };
        table.add_row([
            plain(&change.scenario),
            plain(&change.row),
            change.metric.label.to_owned(),
            format!("{} %", percent(1.0 + change.change)),
            change.interval.map_or("–".to_owned(), |(low, high)| {
                format!("{} … {} %", percent(low.exp()), percent(high.exp()))
            }),
            format!("{} and {}", change.blocks.0, change.blocks.1),
            word.to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(3).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!(
        "change of each row against {}, {} % confidence, corrected for all {} in this table\n\n{}\n",
        plain(runs.control),
        runs.confidence * 100.0,
        count(changes.len(), "change"),
        table.trim_fmt()
    );
    if changes.iter().any(|change| change.metric.is_relative()) {
        text += "\nrelative: to the CPU time of the other end of the same trial, which is the same program in both runs\n";
    }
    text
}

/// The sound trials of a file, or of all result files of a folder.
fn read(path: &Path) -> Result<Vec<Record>, Stop> {
    let fail = |error: &dyn std::fmt::Display| Stop::usage(format!("{}: {error}", path.display()));
    let files = if path.is_dir() {
        let entries = path.read_dir().map_err(|error| fail(&error))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "ndjson"));
        files.sort();
        files
    } else {
        vec![path.to_owned()]
    };
    let results = Results::read(&files);
    if let Some(problem) = results.problems.first() {
        return Err(Stop { code: FAILED, message: problem.clone() });
    }
    let trials: Vec<Record> = results.trials.into_iter().filter(|trial| trial.error.is_none()).collect();
    if trials.is_empty() {
        return Err(fail(&"there is no trial that counts"));
    }
    Ok(trials)
}

fn common_scenarios(base: &[Record], new: &[Record]) -> Vec<String> {
    let mut names: Vec<String> = new
        .iter()
        .map(|trial| trial.scenario.name.clone())
        .filter(|name| base.iter().any(|trial| trial.scenario.name == *name))
        .collect();
    names.sort_by(|one, other| natural(one).cmp(&natural(other)));
    names.dedup();
    names
}
