//! Who takes part in a run: the rows that were asked for, and who meets whom.

use std::collections::BTreeMap;

use bench_core::spec::Role;
use trial::{Program, catalogue::Pairing, record::Pair};

use clap::Args;

use crate::{
    exit::{Stop, unknown},
    output::terminal::say,
    run::{
        capabilities, plan,
        request::AVAILABLE,
        rows::{Finder, Rows, registry},
    },
};

/// Flags that choose the rows and who meets whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct PairingArguments {
    /// Rows: `available`, `all`, names, ROW@PATH for another build of a row, and your own servers: NAME=exec:COMMAND, or
    /// @FILE
    ///
    /// A command is started for every trial, on the server's cores, with the port to listen on in place of {port}:
    /// `--rows tokio,'mine=exec:./server --port {port}'`. It has to echo every message at /echo. A TOML file says more:
    /// docs/YOUR-SERVER.md.
    #[arg(long, value_name = "ROWS", value_delimiter = ',', default_value = AVAILABLE)]
    rows: Vec<String>,
    /// Which rows meet which; the profile decides, and otherwise every server meets one fixed client
    #[arg(long, value_enum)]
    pairs: Option<Pairing>,
    /// Server rows, each of which meets each of --client-rows; the fixed row when only the other side is given
    #[arg(long, value_name = "ROWS", value_delimiter = ',', conflicts_with_all = ["rows", "pairs"])]
    server_rows: Vec<String>,
    /// Client rows, each of which meets each of --server-rows; the fixed row when only the other side is given
    #[arg(long, value_name = "ROWS", value_delimiter = ',', conflicts_with_all = ["rows", "pairs"])]
    client_rows: Vec<String>,
    /// Worker threads of rows that take several (tokio-multi …), and their cores with `--placement split`
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) server_cores: u32,
    /// Row that the others are compared with; the first one where it is not measured
    #[arg(long, value_name = "ROW", default_value = "tokio")]
    baseline: String,
    /// Row of the fixed client (or server, with --pairs clients)
    #[arg(long, value_name = "ROW", default_value = "tokio")]
    reference: String,
}

/// Who meets whom.
pub(crate) struct Participants {
    pub(crate) programs: Vec<Program>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) role: Role,
    pub(crate) baseline: String,
    pub(crate) unavailable: BTreeMap<String, String>,
    /// Whether a row that was named by hand is not available.
    pub(crate) missing: bool,
    /// Rows whose servers are started by a command, as they were asked for.
    pub(crate) started_by: Vec<String>,
}

/// Finds the programs of the rows that were asked for and pairs them.
///
/// # Errors
/// When a row is unknown, none can be measured, or one that was named by hand cannot do what the pairing needs.
pub(crate) fn participants(
    arguments: &PairingArguments,
    of_profile: Pairing,
    finder: &Finder,
) -> Result<Participants, Stop> {
    if arguments.server_rows.is_empty() && arguments.client_rows.is_empty() {
        by_pairing(arguments, arguments.pairs.unwrap_or(of_profile), finder)
    } else {
        by_side(arguments, finder)
    }
}

/// Each of some servers with each of some clients.
fn by_side(arguments: &PairingArguments, finder: &Finder) -> Result<Participants, Stop> {
    let fixed = [arguments.reference.clone()];
    let side = |rows: &[String]| finder.select(if rows.is_empty() { &fixed } else { rows });
    let (servers, clients) = (side(&arguments.server_rows)?, side(&arguments.client_rows)?);
    say_unavailable(&servers);
    say_unavailable(&clients);
    let (server_names, client_names) = (names(&servers.programs), names(&clients.programs));
    if server_names.is_empty() || client_names.is_empty() {
        return Err(Stop::failed("no row can be measured on one of the sides"));
    }
    let role = if server_names.len() == 1 && client_names.len() > 1 { Role::Client } else { Role::Server };
    let compared = if role == Role::Server { &server_names } else { &client_names };
    let baseline = baseline(compared, &arguments.baseline)?;
    let pairs = plan::cross(&server_names, &client_names, role, &baseline);
    let mut programs = servers.programs;
    programs.extend(clients.programs.into_iter().filter(|program| !server_names.contains(&program.row)));
    Ok(Participants {
        programs,
        pairs,
        role,
        baseline,
        unavailable: servers.unavailable.into_iter().chain(clients.unavailable).collect(),
        missing: servers.missing || clients.missing,
        started_by: servers.started_by,
    })
}

/// The same rows on both sides, or on one.
fn by_pairing(arguments: &PairingArguments, pairing: Pairing, finder: &Finder) -> Result<Participants, Stop> {
    let reference = &arguments.reference;
    let mut rows = finder.select(&arguments.rows)?;
    capabilities::leave_out_servers_only(&mut rows, pairing, &arguments.rows)?;
    say_unavailable(&rows);
    let names = names(&rows.programs);
    let baseline = baseline(&names, &arguments.baseline)?;
    let mut programs = rows.programs;
    if matches!(pairing, Pairing::Servers | Pairing::Clients) && !names.contains(reference) {
        programs.push(finder.find(reference)?);
    }
    Ok(Participants {
        programs,
        pairs: plan::pairs(pairing, &names, &baseline, reference),
        role: plan::role(pairing),
        baseline,
        unavailable: rows.unavailable,
        missing: rows.missing,
        started_by: rows.started_by,
    })
}

fn say_unavailable(rows: &Rows) {
    for (row, reason) in &rows.unavailable {
        say(&format!("{row}: not available: {reason}"));
    }
}

fn names(programs: &[Program]) -> Vec<String> {
    programs.iter().map(|program| program.row.clone()).collect()
}

/// The wanted baseline where it is measured, or else the first row.
fn baseline(measured: &[String], wanted: &String) -> Result<String, Stop> {
    let first = measured.first().ok_or_else(|| Stop::failed("no row can be measured"))?;
    let known = registry();
    if !measured.contains(wanted) && known.iter().all(|entry| entry.name != *wanted) {
        let names: Vec<&str> = known.iter().map(|entry| entry.name.as_str()).collect();
        return Err(unknown("row", wanted, &names));
    }
    Ok(if measured.contains(wanted) { wanted.clone() } else { first.clone() })
}
