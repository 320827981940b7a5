//! `compare`: two runs apart in time, through a control row that both hold.
//!
//! Absolute figures of two runs differ by whatever the machine did meanwhile. The ratio of a row to the control row is
//! formed inside each block, where both saw the same machine, and only these ratios are compared between the runs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bench_core::{
    metric::{self, Metric},
    record::Record,
};
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};

use crate::{
    analysis::{
        confidence::{DEFAULT_CONFIDENCE, parse_confidence},
        results::Results,
        statistics::{holm, median, rank_sum_p, rank_sum_rounds_needed, shift_interval},
        twin::is_twin,
        verdict::{Ratio, Value, control_metric, steady},
    },
    exit::{FAILED, OK, REGRESSION, Stop},
    output::{
        print::print,
        terminal::say,
        text::{count, percent, plain},
    },
    run::select::natural,
};

/// A change that is worth an exit code when nothing else is asked for: well above what a control row leaves of a slow
/// phase of the machine.
const DEFAULT_CHANGE: f64 = 0.03;

/// Least number of steady blocks of a run, for the median of their controls to mean something.
const LEAST_STEADY: usize = 5;

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
    /// Without it: the ranking metric of a scenario is worse by more than 3 %. The change has to be significant, too.
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse)]
    fail_if: Vec<Condition>,
    /// Differences between the runs that are accepted
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<Difference>,
    /// Confidence of intervals and verdicts
    #[arg(long, value_name = "SHARE", value_parser = parse_confidence, default_value_t = DEFAULT_CONFIDENCE)]
    confidence: f64,
}

/// What two runs may differ in, so that their comparison means something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Difference {
    /// Another processor, number of cores or host
    Machine,
    /// Another kernel or operating system
    Kernel,
    /// A runtime in another version
    Version,
    /// A scenario whose values differ, or that was run elsewhere on the machine
    Settings,
}

/// A change of a metric that fails the comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Condition {
    metric: Metric,
    /// Whether the change has to be above the bound, or below it.
    above: bool,
    /// Change as a share: 0.1 is +10 %.
    change: f64,
}

impl Condition {
    fn parse(text: &str) -> Result<Condition, String> {
        let form =
            || format!("`{text}` is no condition: a metric, < or > and a change, as in rate<-3% or p99>+10%");
        let place = text.find(['<', '>']).ok_or_else(form)?;
        let (name, rest) = text.split_at(place);
        let metric = metric::by_name(name.trim()).ok_or_else(|| {
            let known: Vec<&str> = metric::ALL.iter().map(|metric| metric.name).collect();
            format!("there is no metric `{}`; there are: {}", name.trim(), known.join(", "))
        })?;
        let number = rest[1..].trim().trim_end_matches('%').trim();
        let percent: f64 = number.parse().map_err(|_| form())?;
        Ok(Condition { metric, above: rest.starts_with('>'), change: percent / 100.0 })
    }

    fn holds(self, change: f64) -> bool {
        if self.above { change > self.change } else { change < self.change }
    }
}

/// A row of one scenario.
type Key = (String, String);

/// Compares two runs, prints what has changed, and returns the exit code.
///
/// # Errors
/// When a file cannot be read, the runs hold no control row or nothing in common, or differ in what is not allowed.
pub fn compare(arguments: &CompareArguments) -> Result<u8, Stop> {
    let (text, regressions) = report(arguments)?;
    print(&text);
    for regression in &regressions {
        say(&format!("regression: {regression}"));
    }
    Ok(if regressions.is_empty() { OK } else { REGRESSION })
}

/// What `compare` prints, and the regressions, one line each.
///
/// # Errors
/// As those of [`compare`].
pub fn report(arguments: &CompareArguments) -> Result<(String, Vec<String>), Stop> {
    let (base, new) = (read(&arguments.base)?, read(&arguments.new)?);
    let differences = differences(&base, &new);
    let refused: Vec<&str> = differences
        .iter()
        .filter(|(what, _)| !arguments.allow.contains(what))
        .map(|(_, text)| text.as_str())
        .collect();
    if !refused.is_empty() {
        let names: Vec<String> = differences
            .keys()
            .filter(|what| !arguments.allow.contains(what))
            .filter_map(|what| Some(what.to_possible_value()?.get_name().to_owned()))
            .collect();
        return Err(Stop::usage(format!(
            "the two runs are not comparable: {}; `--allow {}` compares them all the same",
            refused.join("; "),
            names.join(",")
        )));
    }
    for text in differences.values() {
        say(&format!("note: {text}"));
    }

    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["scenario", "row", "metric", "change", "interval", "blocks", ""]);
    let mut regressions = Vec::new();
    let (mut compared, mut unsteady) = (0, 0);
    for scenario in common_scenarios(&base, &new) {
        let of = |trials: &[Record]| -> Vec<Record> {
            trials.iter().filter(|trial| trial.scenario.name == scenario).cloned().collect()
        };
        let (base, new) = (of(&base), of(&new));
        let ranking = metric::ranking(&new[0].scenario, new[0].role);
        let conditions = if arguments.fail_if.is_empty() {
            let worse = if ranking.higher_is_better { -DEFAULT_CHANGE } else { DEFAULT_CHANGE };
            vec![Condition { metric: ranking, above: !ranking.higher_is_better, change: worse }]
        } else {
            arguments.fail_if.clone()
        };
        for condition in conditions {
            let metric = condition.metric;
            let (mut before, after) =
                (ratios(&base, &arguments.control, metric), ratios(&new, &arguments.control, metric));
            before.retain(|key, _| after.contains_key(key));
            let needed = rank_sum_rounds_needed(before.len(), arguments.confidence).max(LEAST_STEADY);
            let rows: Vec<(&Key, Samples)> =
                before.iter().map(|(key, old)| (key, Samples::new(old, &after[key], needed))).collect();
            let p_of = |samples: &Samples| rank_sum_p(&samples.old, &samples.new);
            let p_values: Vec<f64> = rows.iter().map(|(_, samples)| p_of(samples)).collect();
            for ((key, samples), level) in rows.iter().zip(holm(&p_values, arguments.confidence)) {
                let Samples { old, new, .. } = samples;
                compared += 1;
                unsteady += samples.unsteady;
                let change = median_shift(old, new).exp() - 1.0;
                let fails = level.is_some() && condition.holds(change);
                let bounds =
                    shift_interval(old, new, level.map_or(arguments.confidence, |level| 1.0 - level));
                let word = match (fails, level) {
                    (true, _) => "REGRESSION",
                    (false, Some(_)) => "changed",
                    (false, None) => "",
                };
                table.add_row([
                    plain(&scenario),
                    plain(&key.0),
                    metric.label.to_owned(),
                    format!("{} %", percent(1.0 + change)),
                    bounds.map_or("–".to_owned(), |(low, high)| {
                        format!("{} … {} %", percent(low.exp()), percent(high.exp()))
                    }),
                    format!("{} and {}", old.len(), new.len()),
                    word.to_owned(),
                ]);
                if fails {
                    regressions.push(format!(
                        "{scenario}, {}: {} {} %",
                        key.0,
                        metric.label,
                        percent(1.0 + change)
                    ));
                }
            }
        }
    }
    if compared == 0 {
        return Err(Stop::usage(format!(
            "nothing can be compared: both runs need the control row `{}` and another row in the same blocks of the same \
             scenario; `--control ROW` names another one",
            arguments.control
        )));
    }
    for column in table.column_iter_mut().skip(3).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!(
        "change of each row against {}, {} % confidence, corrected for the rows of a scenario\n\n{}\n",
        plain(&arguments.control),
        arguments.confidence * 100.0,
        table.trim_fmt()
    );
    if unsteady > 0 {
        let ratios = count(unsteady, "ratio");
        text += &format!("\n{ratios} left out, because the machine changed between the two trials\n");
    }
    Ok((text, regressions))
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

/// In what the two runs differ, so that a change could be of that.
fn differences(base: &[Record], new: &[Record]) -> BTreeMap<Difference, String> {
    let mut differences = BTreeMap::new();
    let (one, other) = (&base[0].machine, &new[0].machine);
    if (&one.host, &one.cpu, one.cpus, &one.arch) != (&other.host, &other.cpu, other.cpus, &other.arch) {
        differences.insert(
            Difference::Machine,
            format!("they are of two machines ({} {}, {} {})", one.host, one.cpu, other.host, other.cpu),
        );
    }
    if (&one.kernel, &one.os) != (&other.kernel, &other.os) {
        differences.insert(
            Difference::Kernel,
            format!("they ran on two kernels ({}, {})", one.kernel, other.kernel),
        );
    }
    for new in new {
        let settings = |trial: &Record| (trial.scenario.clone(), trial.placement, trial.role);
        let same_name = base.iter().find(|base| base.scenario.name == new.scenario.name);
        if same_name.is_some_and(|base| settings(base) != settings(new)) {
            let text = format!("the scenario {} has other settings", new.scenario.name);
            differences.entry(Difference::Settings).or_insert(text);
        }
        let row = base.iter().find(|base| base.server.row == new.server.row);
        if let Some(base) = row.map(|base| &base.server.info.runtime_version) {
            let version = &new.server.info.runtime_version;
            if base != version {
                let text = format!("{} is of two versions ({base}, {version})", new.server.row);
                differences.entry(Difference::Version).or_insert(text);
            }
        }
    }
    differences
}

/// A row's log ratios to the control row in both runs.
struct Samples {
    old: Vec<f64>,
    new: Vec<f64>,
    /// Ratios that were left out of them.
    unsteady: usize,
}

impl Samples {
    /// From steady blocks alone, as verdicts have it, where each run has `needed` of these.
    fn new(old: &[Ratio], new: &[Ratio], needed: usize) -> Samples {
        match steady(old, needed).zip(steady(new, needed)) {
            Some((steady_old, steady_new)) => {
                let unsteady = old.len() + new.len() - steady_old.len() - steady_new.len();
                Samples { old: steady_old, new: steady_new, unsteady }
            }
            None => {
                let all = |ratios: &[Ratio]| ratios.iter().map(|ratio| ratio.log).collect();
                Samples { old: all(old), new: all(new), unsteady: 0 }
            }
        }
    }
}

/// The ratios of each row to the control row, block by block, without the trials that are marked for the metric.
fn ratios(trials: &[Record], control_row: &str, metric: Metric) -> BTreeMap<Key, Vec<Ratio>> {
    let other_end = control_metric(metric, trials.iter());
    let mut blocks: BTreeMap<(&str, u32), Vec<(Key, Value)>> = BTreeMap::new();
    for trial in trials {
        let spoilt = trial.marks.iter().any(|mark| mark.spoils(metric));
        let figures = metric::figures(trial);
        let figure = figures.get(metric.name).copied().filter(|figure| !spoilt && *figure > 0.0);
        let (server, client) = (&trial.server.row, &trial.client.row);
        let (own, other) = (trial.role.own(server, client), trial.role.other(server, client));
        if let Some(figure) = figure {
            let control = other_end.and_then(|cost| figures.get(cost.name).copied());
            let block = blocks.entry((&trial.session, trial.block)).or_default();
            block.push(((own.clone(), other.clone()), Value { metric: figure, control }));
        }
    }
    let mut ratios: BTreeMap<Key, Vec<Ratio>> = BTreeMap::new();
    for block in blocks.into_values() {
        let Some(base) = block.iter().find(|(key, _)| key.0 == control_row).map(|(_, value)| *value) else {
            continue;
        };
        for (key, value) in block {
            if key.0 != control_row && !is_twin(&key.0) {
                ratios.entry(key).or_default().push(value.over(base));
            }
        }
    }
    ratios
}

/// The median of all differences between two samples (Hodges and Lehmann).
fn median_shift(left: &[f64], right: &[f64]) -> f64 {
    let differences: Vec<f64> =
        left.iter().flat_map(|left| right.iter().map(move |right| right - left)).collect();
    median(&differences)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::results::tests::trial;

    #[test]
    fn conditions() {
        let rate = Condition::parse("rate<-3%").unwrap();
        assert!(rate.holds(-0.04) && !rate.holds(-0.02));
        let p99 = Condition::parse("p99 > +10 %").unwrap();
        assert!(p99.holds(0.11) && !p99.holds(0.09));
        assert!(Condition::parse("p98>1%").unwrap_err().contains("there is no metric `p98`"));
        assert!(Condition::parse("rate").unwrap_err().contains("as in rate<-3%"));
    }

    #[test]
    fn a_machine_that_is_slower_as_a_whole_changes_nothing() {
        let run = |factor: u64| -> Vec<Record> {
            let block =
                |block| [trial("tokio", block, 0, 5_000 * factor), trial("smol", block, 1, 6_000 * factor)];
            (0..3).flat_map(block).collect()
        };
        let (slow, fast) =
            (ratios(&run(3), "tokio", metric::SERVER_CPU), ratios(&run(2), "tokio", metric::SERVER_CPU));
        let key = ("smol".to_owned(), "tokio".to_owned());
        assert_eq!(slow.keys().collect::<Vec<_>>(), [&key]);
        let samples = Samples::new(&slow[&key], &fast[&key], 3);
        assert!(median_shift(&samples.old, &samples.new).abs() < 1e-9);
        assert!(differences(&run(1), &run(2)).is_empty());
    }

    #[test]
    fn blocks_in_which_the_machine_changed_do_not_count() {
        let ratio = |log: f64, control: f64| Ratio { log, control: Some(control) };
        let (calm, slow_phase) = ([0.1, 0.11, 0.12].map(|log| ratio(log, 0.2)), ratio(0.3, 0.4));
        let restless: Vec<Ratio> = calm.into_iter().chain([slow_phase]).collect();
        let samples = Samples::new(&calm, &restless, 3);
        assert_eq!((samples.old.len(), samples.new.len(), samples.unsteady), (3, 3, 1));
        // Rather all than too few, and then in both runs.
        let samples = Samples::new(&calm, &restless, 4);
        assert_eq!((samples.old.len(), samples.new.len(), samples.unsteady), (3, 4, 0));
        let samples = Samples::new(&[Ratio { log: 0.1, control: None }; 3], &restless, 3);
        assert_eq!((samples.new.len(), samples.unsteady), (4, 0));
    }
}
