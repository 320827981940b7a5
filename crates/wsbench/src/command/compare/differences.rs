//! In what two runs differ, apart from what was changed on purpose.

use std::collections::BTreeMap;

use clap::ValueEnum;
use trial::record::Record;

use crate::exit::Stop;

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
}

/// In what the two runs differ, so that a change could be of that.
pub(super) fn differences(base: &[Record], new: &[Record]) -> BTreeMap<Difference, String> {
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
        "the two runs are not comparable: {}; `--allow {}` compares them all the same",
        texts.join("; "),
        names.join(",")
    )))
}
