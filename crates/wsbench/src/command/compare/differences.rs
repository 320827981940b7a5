//! In what two runs differ, apart from what was changed on purpose.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use trial::record::{End, Record};

use super::side::Side;
use crate::{
    analysis::{
        alike::{differing, on},
        twin::row_of,
    },
    exit::Stop,
    output::text::count,
};

/// What two runs may differ in, so that their comparison means something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Difference {
    /// Another processor, number of cores or host
    Machine,
    /// Another kernel or operating system
    Kernel,
    /// A runtime in another version
    Version,
    /// A scenario whose values differ, or that was run elsewhere on the machine
    Settings,
    /// A row with another number of worker threads
    Workers,
    /// A row on other cores
    Cores,
    /// System calls counted in one of the runs, which slows them down
    Counts,
    /// Another build profile, compiler, or flags of it
    Build,
    /// Another program of the control row, or of the row at the other end, although the build is the same
    Control,
}

/// In what the two runs differ, so that a change could be of that: a sentence for each difference.
pub(super) fn differences(base: &Side, new: &Side, control: &str) -> BTreeMap<Difference, String> {
    let mut differences = BTreeMap::new();
    let mut add = |what: Difference, text: Option<String>| {
        if let Some(text) = text {
            differences.entry(what).or_insert(text);
        }
    };
    add(
        Difference::Machine,
        several("machines", base, new, |trial| {
            let machine = &trial.machine;
            format!("{} {} with {} CPUs, {}", machine.host, machine.cpu, machine.cpus, machine.arch)
        }),
    );
    add(
        Difference::Kernel,
        several("kernels", base, new, |trial| format!("{} {}", trial.machine.os, trial.machine.kernel)),
    );
    if base.counts() != new.counts() {
        let (with, without) = if new.counts() { ("NEW", "BASE") } else { ("BASE", "NEW") };
        add(Difference::Counts, Some(format!("system calls were counted in {with} and not in {without}")));
    }
    add(Difference::Build, build(base, new));
    let known = rows(base);
    for trial in new.records() {
        let settings = |trial: &Record| (trial.scenario.clone(), trial.placement, trial.role);
        let same_name = || base.records().find(|base| base.scenario.name == trial.scenario.name);
        if let Some(same) = same_name().filter(|same| settings(same) != settings(trial)) {
            add(Difference::Settings, Some(other_settings(same, trial)));
        }
        for (end, is_compared) in [(&trial.server, true), (&trial.client, false)] {
            let key = (trial.scenario.name.as_str(), row_of(&end.row), is_compared);
            let Some((base, before)) = known.get(&key) else { continue };
            add(Difference::Version, version(base, end));
            add(Difference::Build, features(base, end));
            let row = row_of(&end.row);
            if base.workers != end.workers {
                let before = count(base.workers as usize, "worker");
                let text = format!("{row} has {before} in BASE and {} in NEW", end.workers);
                add(Difference::Workers, Some(text));
            } else if before.cores != trial.cores {
                let text = format!("{row} ran {} in BASE and {} in NEW", on(&before.cores), on(&trial.cores));
                add(Difference::Cores, Some(text));
            }
            let is_standard =
                row == control || end.row == *trial.role.other(&trial.server.row, &trial.client.row);
            let same_build = before.build.is_same_as(&trial.build) && !trial.build.dirty;
            if is_standard && same_build && base.binary_sha256 != end.binary_sha256 {
                let text = format!(
                    "{row}, through which the others are seen, is another program, of the same build"
                );
                add(Difference::Control, Some(text));
            }
        }
    }
    differences
}

/// That the rows through which the others are seen were built from other sources, where that is so.
pub(super) fn changed_control(base: &Side, new: &Side, control: &str) -> Option<String> {
    let commits = |side: &Side| -> BTreeSet<String> {
        let own = side
            .records()
            .filter(|trial| row_of(trial.role.own(&trial.server.row, &trial.client.row)) == control);
        own.map(|trial| trial.build.commit.clone()).collect()
    };
    (commits(base) != commits(new)).then(|| {
        format!(
            "{control}, through which the others are seen, was built from other sources in NEW: a change of its own cost looks like \
             the opposite change of every other row"
        )
    })
}

/// Each row at each end of a scenario, with a trial of it.
fn rows(side: &Side) -> BTreeMap<(&str, &str, bool), (&End, &Record)> {
    let mut rows = BTreeMap::new();
    for trial in side.records() {
        for (end, is_server) in [(&trial.server, true), (&trial.client, false)] {
            rows.entry((trial.scenario.name.as_str(), row_of(&end.row), is_server)).or_insert((end, trial));
        }
    }
    rows
}

/// That the trials of both runs have several values of what should be one.
fn several(what: &str, base: &Side, new: &Side, of: impl Fn(&Record) -> String) -> Option<String> {
    let all: BTreeSet<String> = base.records().chain(new.records()).map(of).collect();
    let all: Vec<String> = all.into_iter().collect();
    (all.len() > 1).then(|| format!("they are of {} {what} ({})", all.len(), all.join("; ")))
}

fn version(base: &End, new: &End) -> Option<String> {
    let (old, new_version) = (&base.info.runtime_version, &new.info.runtime_version);
    (old != new_version).then(|| format!("{} is of two versions ({old}, {new_version})", row_of(&new.row)))
}

/// That a row's program holds more than the other one did, such as what prints the four tests.
fn features(base: &End, new: &End) -> Option<String> {
    let of = |end: &End| end.info.build.as_ref().map(|build| build.features.join(", "));
    let (old, now) = (of(base)?, of(new)?);
    (old != now).then(|| {
        format!("{} was built with the features [{old}] in BASE and [{now}] in NEW", row_of(&new.row))
    })
}

fn other_settings(base: &Record, new: &Record) -> String {
    let fields = differing(&new.scenario, std::iter::once(&base.scenario));
    let before = differing(&base.scenario, std::iter::once(&new.scenario));
    let place =
        (base.placement != new.placement).then(|| format!("{} and not {}", new.placement, base.placement));
    let fields: Vec<String> = fields.into_iter().chain(place).collect();
    format!(
        "the scenario {} has other settings in NEW ({}; BASE: {})",
        new.scenario.name,
        fields.join(", "),
        before.join(", ")
    )
}

/// What was built in another way: everything but the sources, whose change is what is looked for.
fn build(base: &Side, new: &Side) -> Option<String> {
    let builds = || {
        base.records().chain(new.records()).flat_map(|trial| {
            [Some(&trial.build), trial.server.info.build.as_ref(), trial.client.info.build.as_ref()]
                .into_iter()
                .flatten()
        })
    };
    let first = builds().next()?;
    let other = builds().find(|build| build.manner(first) != first.manner(build))?;
    let (one, other) = (first.manner(other), other.manner(first));
    let words = |of, others| differing(of, std::iter::once(others)).join(", ");
    Some(format!("they were built in two ways ({}; {})", words(&one, &other), words(&other, &one)))
}

/// Refuses differences that were not allowed.
///
/// # Errors
/// When there is one, with all of them and the flag that allows them.
pub(super) fn refuse(differences: &BTreeMap<Difference, String>, allowed: &[Difference]) -> Result<(), Stop> {
    let refused = || differences.iter().filter(|(what, _)| !allowed.contains(what));
    let texts: Vec<&str> = refused().map(|(_, text)| text.as_str()).collect();
    if texts.is_empty() {
        return Ok(());
    }
    let names: Vec<String> =
        refused().filter_map(|(what, _)| Some(what.to_possible_value()?.get_name().to_owned())).collect();
    Err(Stop::usage(format!(
        "the two runs are not comparable: {}; `--allow {}` compares them anyway",
        texts.join("; "),
        names.join(",")
    )))
}
