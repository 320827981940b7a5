//! `list`: rows, profiles and scenarios.

use std::{io::IsTerminal, path::PathBuf};

use bench_core::{
    RowInfo,
    row::BuildInfo,
    spec::{Flush, Role, SERVED_CONNECTIONS, SocketSpec},
};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use trial::{
    catalogue::{BUILT_IN, Catalogue},
    metric,
};

use crate::{
    exit::{OK, Stop},
    output::print::print,
    run::rows::{Finder, Missing, registry},
};

/// Flags of `list`.
#[derive(Args, Clone, Debug)]
pub struct ListArguments {
    /// What to list; everything when not given
    #[arg(value_enum)]
    what: Option<What>,
    /// Describe every row in full: versions, I/O, WebSocket stack, buffers, maintenance
    #[arg(long, conflicts_with_all = ["what", "catalogue"])]
    long: bool,
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

/// Prints rows, profiles and scenarios.
///
/// # Errors
/// When this program's own folder is unknown.
pub fn list(arguments: &ListArguments, build: BuildInfo) -> Result<u8, Stop> {
    print(&text(arguments, build)?);
    Ok(OK)
}

fn text(arguments: &ListArguments, build: BuildInfo) -> Result<String, Stop> {
    if arguments.catalogue {
        return Ok(BUILT_IN.to_owned());
    }
    if arguments.long {
        return Ok(rows_in_full(&Finder::new(arguments.runner_dir.clone(), build)?));
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
            let rounds = profile.rounds.map_or("as needed".to_owned(), |rounds| rounds.to_string());
            profiles.add_row([name, &rounds, &scenarios, &profile.about]);
        }
        parts.push(profiles.trim_fmt());
    }
    if wanted(What::Scenarios) {
        let mut scenarios = table(["scenario", "cores", "load", "shows", "judged by"]);
        for scenario in catalogue.scenarios.values() {
            let (cores, load) = (scenario.placement.to_string(), scenario.summary());
            let judged: Vec<&str> =
                metric::judged(scenario, Role::Server).iter().map(|metric| metric.label).collect();
            scenarios.add_row([&scenario.name, &cores, &load, &scenario.about, &judged.join(", ")]);
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
            Err(Missing::Here(reason) | Missing::Broken(reason)) => {
                rows.add_row([entry.name.as_str(), "–", "–", &reason]);
            }
            Err(Missing::Fatal(stop)) => {
                rows.add_row([entry.name.as_str(), "–", "–", &format!("refused: {stop}")]);
            }
        }
    }
    rows.trim_fmt()
}

/// A block for each row: too much for the columns of a table.
fn rows_in_full(finder: &Finder) -> String {
    let mut blocks = Vec::new();
    for entry in registry() {
        let mut block = arranged();
        match finder.find(&entry.name) {
            Ok(program) => {
                for (label, text) in properties(&program.info) {
                    block.add_row([label, &text]);
                }
            }
            Err(Missing::Here(reason) | Missing::Broken(reason)) => {
                block.add_row(["not available", &reason]);
            }
            Err(Missing::Fatal(stop)) => {
                block.add_row(["refused", &stop.to_string()]);
            }
        }
        blocks.push(format!("{}: {}\n{}\n", entry.name, entry.about, block.trim_fmt()));
    }
    blocks.join("\n")
}

fn properties(info: &RowInfo) -> Vec<(&'static str, String)> {
    let defaults = SocketSpec::default();
    let names = |flush: &[Flush]| {
        let names = flush.iter().filter_map(|policy| Some(policy.to_possible_value()?.get_name().to_owned()));
        names.collect::<Vec<_>>().join(", ")
    };
    vec![
        ("runtime", format!("{} {}", info.runtime, info.runtime_version)),
        ("scheduler", info.scheduler.clone()),
        ("I/O", info.io_mode.clone()),
        ("WebSocket", info.websocket.clone()),
        ("threads", threads(info)),
        // Equal for every row: part of the scenario, not of the row.
        (
            "read buffer",
            format!("{} KiB, unless the scenario says otherwise", defaults.read_buffer_bytes / 1024),
        ),
        ("limits", limits(&defaults)),
        ("flush", names(&info.flush)),
        ("features", features(info)),
        ("status", info.status.clone().unwrap_or_else(|| "maintained".to_owned())),
    ]
}

fn threads(info: &RowInfo) -> String {
    match info.threads_per_connection {
        0 => format!("at most {}", info.max_threads),
        each => format!("at most {}, and {each} for each connection", info.max_threads),
    }
}

fn features(info: &RowInfo) -> String {
    if info.features.is_empty() {
        return "none".to_owned();
    }
    info.features.iter().map(|feature| feature.name()).collect::<Vec<_>>().join(", ")
}

/// What every server and client keeps to.
fn limits(socket: &SocketSpec) -> String {
    let time = |limit| humantime::format_duration(limit).to_string();
    format!(
        "message {} MiB, frame {} MiB, write buffer {} KiB, {SERVED_CONNECTIONS} connections; opening handshake {}, closing \
         handshake {}, silence {}",
        socket.max_message_bytes >> 20,
        socket.max_frame_bytes >> 20,
        socket.write_buffer_bytes >> 10,
        time(socket.handshake_timeout()),
        time(socket.close_timeout()),
        time(socket.idle_timeout())
    )
}

/// Columns where no terminal says how many it has: a pipe, a file, a pager.
const WIDTH_ELSEWHERE: u16 = 100;

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = arranged();
    table.set_header(header);
    table
}

fn arranged() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    // Without a terminal a dynamic table has no width to arrange itself in, and its lines grow without limit.
    if !std::io::stdout().is_terminal() {
        table.set_width(WIDTH_ELSEWHERE);
    }
    table
}
