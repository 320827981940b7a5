//! Who takes part in a run: the rows that were asked for, and who meets whom.

use std::collections::BTreeMap;

use bench_core::{
    catalogue::Pairing,
    record::Pair,
    trial::{Program, Role},
};

use crate::{
    command::run::RunArguments,
    exit::{Stop, unknown},
    output::terminal::say,
    run::{
        capabilities, plan,
        rows::{Finder, Rows, registry},
    },
};

/// Who meets whom.
pub(crate) struct Cast {
    pub(crate) programs: Vec<Program>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) role: Role,
    pub(crate) baseline: String,
    pub(crate) unavailable: BTreeMap<String, String>,
    /// Whether a row that was named by hand is not available.
    pub(crate) missing: bool,
}

/// Finds the programs of the rows that were asked for and pairs them.
///
/// # Errors
/// When a row is unknown, none can be measured, or one that was named by hand cannot do what the pairing needs.
pub(crate) fn cast(arguments: &RunArguments, of_profile: Pairing, finder: &Finder) -> Result<Cast, Stop> {
    let reference = &arguments.reference;
    let by_side = !arguments.server_rows.is_empty() || !arguments.client_rows.is_empty();
    if by_side {
        let fixed = [reference.clone()];
        let side = |rows: &[String]| finder.select(if rows.is_empty() { &fixed } else { rows });
        let (servers, clients) = (side(&arguments.server_rows)?, side(&arguments.client_rows)?);
        say_unavailable(&servers);
        say_unavailable(&clients);
        let (server_names, client_names) = (names(&servers.programs), names(&clients.programs));
        if server_names.is_empty() || client_names.is_empty() {
            return Err(Stop::failed("no row can be measured on one of the sides"));
        }
        let role =
            if server_names.len() == 1 && client_names.len() > 1 { Role::Client } else { Role::Server };
        let compared = if role == Role::Server { &server_names } else { &client_names };
        let baseline = baseline(compared, &arguments.baseline)?;
        let pairs = plan::cross(&server_names, &client_names, role, &baseline);
        let mut programs = servers.programs;
        programs.extend(clients.programs.into_iter().filter(|program| !server_names.contains(&program.row)));
        return Ok(Cast {
            programs,
            pairs,
            role,
            baseline,
            unavailable: servers.unavailable.into_iter().chain(clients.unavailable).collect(),
            missing: servers.missing || clients.missing,
        });
    }
    let pairing = arguments.pairs.unwrap_or(of_profile);
    let mut rows = finder.select(&arguments.rows)?;
    capabilities::leave_out_servers_only(&mut rows, pairing, &arguments.rows)?;
    say_unavailable(&rows);
    let names = names(&rows.programs);
    let baseline = baseline(&names, &arguments.baseline)?;
    let mut programs = rows.programs;
    if matches!(pairing, Pairing::Servers | Pairing::Clients) && !names.contains(reference) {
        programs.push(finder.find(reference)?);
    }
    Ok(Cast {
        programs,
        pairs: plan::pairs(pairing, &names, &baseline, reference),
        role: plan::role(pairing),
        baseline,
        unavailable: rows.unavailable,
        missing: rows.missing,
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
