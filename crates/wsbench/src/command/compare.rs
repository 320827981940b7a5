//! `compare`: two runs apart in time, through a control row that both hold.
//!
//! Absolute figures of two runs differ by whatever the machine did meanwhile. The ratio of a row to the control row is
//! formed inside each block, where both saw the same machine, and only these ratios are compared between the runs.

use std::path::PathBuf;

use clap::Args;

use crate::{
    analysis::confidence::{DEFAULT_CONFIDENCE, parse_confidence},
    exit::{NOT_JUDGED, OK, REGRESSION, Stop},
    output::{print::print, terminal::say},
};

mod allow;
mod condition;
mod differences;
mod judgement;
mod layout;
mod side;

use allow::Allowed;
use condition::Condition;
use differences::{Difference, changed_control, differences, refuse};
use judgement::{Comparison, Entry, Finding, Verdict, judge};
pub use layout::schema;
use layout::{Layout, Report};
use side::{Side, both};

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
    /// What is accepted: a difference between the runs, or something that is not judged, such as `missing=smol`
    ///
    /// Differences: machine, kernel, version, settings, workers, cores, counts, build, control. Reasons for which something is
    /// not judged: missing, failed, marked, too-few, no-value, each with the name of a row, a scenario, SCENARIO/ROW or a
    /// metric. What is accepted is still printed.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = Allowed::parse)]
    allow: Vec<Allowed>,
    /// Confidence of intervals and verdicts
    #[arg(long, value_name = "SHARE", value_parser = parse_confidence, default_value_t = DEFAULT_CONFIDENCE)]
    confidence: f64,
    /// How the comparison is written
    #[arg(long, value_enum, default_value_t)]
    format: Layout,
}

/// Compares two runs, prints what has changed, and returns the exit code.
///
/// # Errors
/// When a file cannot be read, a run does not hold the control row, or the runs differ in what is not allowed.
pub fn compare(arguments: &CompareArguments) -> Result<u8, Stop> {
    let Outcome { text, lines, code } = report(arguments)?;
    print(&text);
    lines.iter().for_each(|line| say(line));
    Ok(code)
}

/// What a comparison found.
#[derive(Debug)]
pub struct Outcome {
    /// Everything that was compared, as it was asked for.
    pub text: String,
    /// Notes, regressions and what was not judged, one line each.
    pub lines: Vec<String>,
    /// The exit code.
    pub code: u8,
}

/// Compares two runs.
///
/// # Errors
/// The same as those of [`compare`].
pub fn report(arguments: &CompareArguments) -> Result<Outcome, Stop> {
    let CompareArguments { control, confidence, .. } = arguments;
    let (base, new) = (Side::read(&arguments.base)?, Side::read(&arguments.new)?);
    refuse_without_control(&base, &new, control)?;
    let differences = differences(&base, &new, control);
    let allowed = arguments.allow.iter().filter_map(|allowed| match allowed {
        Allowed::Difference(difference) => Some(*difference),
        Allowed::NotJudged { .. } => None,
    });
    refuse(&differences, &allowed.collect::<Vec<Difference>>())?;
    let comparison = Comparison { base: &base, new: &new, control, confidence: *confidence };
    let entries = judge(&comparison, &arguments.fail_if);
    let is_allowed = |entry: &Entry| arguments.allow.iter().any(|allowed| allowed.accepts(entry));
    let notes: Vec<String> = differences
        .into_values()
        .chain(changed_control(&base, &new, control))
        .chain(only_in_new(&base, &new, control))
        .collect();

    let mut lines: Vec<String> = notes.iter().map(|note| format!("note: {note}")).collect();
    let (mut regressions, mut not_judged) = (0, 0);
    for entry in &entries {
        match &entry.finding {
            Finding::Judged(change) if change.verdict == Verdict::Regression => {
                regressions += 1;
                lines.push(format!(
                    "regression: {}: {}",
                    entry.name(),
                    layout::size(change.size, entry.metric)
                ));
            }
            Finding::NotJudged(reason) if !is_allowed(entry) => {
                not_judged += 1;
                lines.push(format!("not judged: {}: {}", entry.name(), reason.text()));
            }
            _ => {}
        }
    }
    let report = Report {
        entries: &entries,
        notes: &notes,
        control,
        confidence: *confidence,
        is_allowed: &is_allowed,
    };
    let code = match (regressions, not_judged) {
        (0, 0) => OK,
        (0, _) => NOT_JUDGED,
        _ => REGRESSION,
    };
    Ok(Outcome { text: report.render(arguments.format), lines, code })
}

/// Refuses to compare runs of which one does not hold the control row.
fn refuse_without_control(base: &Side, new: &Side, control: &str) -> Result<(), Stop> {
    for (side, name) in both(base, new) {
        let mut rows: Vec<String> = side
            .scenarios()
            .into_iter()
            .flat_map(|scenario| side.rows(scenario))
            .map(|key| key.row)
            .collect();
        rows.sort();
        rows.dedup();
        if !rows.iter().any(|row| row == control) {
            return Err(Stop::usage(format!(
                "{name} does not hold the control row `{control}`; `--control` names another one: {}",
                rows.join(", ")
            )));
        }
    }
    Ok(())
}

/// What NEW holds and BASE does not: there is nothing to compare it with.
fn only_in_new(base: &Side, new: &Side, control: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let known = base.scenarios();
    for scenario in new.scenarios() {
        if !known.contains(&scenario) {
            notes.push(format!("{scenario} is only in NEW"));
            continue;
        }
        let before = base.rows(scenario);
        let added = new.rows(scenario).into_iter().filter(|key| key.row != control);
        let added = added.filter(|key| !before.iter().any(|known| known.row == key.row));
        notes.extend(added.map(|key| format!("{} is only in NEW, in {scenario}", key.row)));
    }
    notes
}
