//! `list`: rows, profiles and scenarios.

use std::path::PathBuf;

use bench_core::{
    catalogue::{BUILT_IN, Catalogue},
    runner::BuildInfo,
};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};

use crate::{
    exit::Stop,
    rows::{Finder, Missing, registry},
};

/// Flags of `list`.
#[derive(Args, Clone, Debug)]
pub struct ListArguments {
    /// What to list; everything when not given
    #[arg(value_enum)]
    what: Option<What>,
    /// Print scenarios and profiles as the TOML file that --profile takes
    #[arg(long, conflicts_with = "what")]
    catalogue: bool,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// What can be measured, and why the rest cannot
    Rows,
    /// Lists of scenarios
    Profiles,
    /// Workloads with all their parameters
    Scenarios,
}

/// What `list` prints.
///
/// # Errors
/// When this program's own folder is unknown.
pub fn list(arguments: &ListArguments, build: BuildInfo) -> Result<String, Stop> {
    if arguments.catalogue {
        return Ok(BUILT_IN.to_owned());
    }
    let wanted = |what| arguments.what.is_none_or(|only| only == what);
    let mut parts = Vec::new();
    if wanted(What::Rows) {
        parts.push(rows(&Finder::new(arguments.runner_dir.clone(), build)?));
    }
    let catalogue = Catalogue::built_in();
    if wanted(What::Profiles) {
        let mut profiles = table(["profile", "rounds", "scenarios", "for"]);
        for (name, profile) in &catalogue.profiles {
            let scenarios = profile.scenarios.join(" ");
            profiles.add_row([name, &profile.rounds.to_string(), &scenarios, &profile.about]);
        }
        parts.push(profiles.trim_fmt());
    }
    if wanted(What::Scenarios) {
        let mut scenarios = table(["scenario", "cores", "load", "shows"]);
        for scenario in catalogue.scenarios.values() {
            let (cores, load) = (scenario.placement.to_string(), scenario.summary());
            scenarios.add_row([&scenario.name, &cores, &load, &scenario.about]);
        }
        parts.push(scenarios.trim_fmt());
    }
    Ok(parts.join("\n\n") + "\n")
}

fn rows(finder: &Finder) -> String {
    let mut rows = table(["row", "version", "scheduler", "what it is, or why it is not available"]);
    for entry in registry() {
        match finder.find(&entry.name) {
            Ok(program) => {
                let info = program.info;
                rows.add_row([&entry.name, &info.runtime_version, &info.scheduler, &entry.about]);
            }
            Err(Missing::Here(reason)) => {
                rows.add_row([entry.name.as_str(), "–", "–", &reason]);
            }
            Err(Missing::Fatal(stop)) => {
                rows.add_row([entry.name.as_str(), "–", "–", &format!("refused: {stop}")]);
            }
        }
    }
    rows.trim_fmt()
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}
