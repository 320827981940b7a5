//! What the rows of a run offer, against what its scenarios ask of them: a server needs the service, a client the
//! workload, and both the flush policy.

use bench_core::{
    catalogue::{Pairing, Scenario},
    record::Pair,
    spec::Workload,
    trial::Program,
};
use clap::ValueEnum;

use crate::{exit::Stop, plan::row_of, rows::Rows};

/// Leaves out the rows that have no client where the pairing takes every row as one.
///
/// # Errors
/// When such a row was asked for by its name.
pub fn leave_out_servers_only(rows: &mut Rows, pairing: Pairing, wanted: &[String]) -> Result<(), Stop> {
    if pairing == Pairing::Servers {
        return Ok(());
    }
    let pairing = pairing.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let reason = format!("a server only, and `--pairs {pairing}` takes every row as a client");
    for program in rows.programs.extract_if(.., |program| program.info.workloads.is_empty()) {
        if wanted.contains(&program.row) {
            return Err(Stop::usage(format!("the row `{}` is {reason}: leave one of them out", program.row)));
        }
        rows.unavailable.insert(program.row, reason.clone());
    }
    Ok(())
}

/// Checks that both ends of a pair offer what a scenario needs of them.
///
/// # Errors
/// When one does not, or there is no program for it.
pub fn supports(programs: &[Program], pair: &Pair, scenario: &Scenario) -> Result<(), Stop> {
    let workload = scenario.load.workload;
    let service = service(workload);
    let server = find(programs, &pair.server)?;
    if !server.info.services.iter().any(|offered| offered == service) {
        return Err(lacks(server, scenario, &format!("the service /{service}")));
    }
    let client = find(programs, &pair.client)?;
    if !client.info.workloads.contains(&workload) {
        return Err(lacks(client, scenario, &format!("the workload {} of a client", workload.name())));
    }
    let flush = scenario.socket.flush;
    for program in [server, client] {
        if !program.info.flush.contains(&flush) {
            return Err(lacks(program, scenario, &format!("the flush policy {flush:?}")));
        }
    }
    Ok(())
}

fn find<'a>(programs: &'a [Program], name: &str) -> Result<&'a Program, Stop> {
    let row = row_of(name);
    let found = programs.iter().find(|program| program.row == row);
    found.ok_or_else(|| Stop::failed(format!("there is no program for the row `{row}`")))
}

fn lacks(program: &Program, scenario: &Scenario, what: &str) -> Stop {
    Stop::usage(format!(
        "the row `{}` does not offer what `{}` needs, {what}: leave one of them out",
        program.row, scenario.name
    ))
}

/// The service that a workload asks the server for.
fn service(workload: Workload) -> &'static str {
    match workload {
        Workload::Connect | Workload::Push => "push",
        Workload::OneWay => "sink",
        Workload::PingPong | Workload::Window | Workload::Idle => "echo",
    }
}

#[cfg(test)]
mod tests {
    use bench_core::{RowInfo, catalogue::Catalogue};

    use super::*;

    fn program(row: &str, change: impl FnOnce(&mut RowInfo)) -> Program {
        let mut info = RowInfo::new(row, row, "1");
        change(&mut info);
        Program { row: row.to_owned(), path: row.into(), prefix: Vec::new(), info, sha256: String::new() }
    }

    fn rows() -> Rows {
        let programs = vec![program("both", |_| ()), program("server", |info| info.workloads.clear())];
        Rows { programs, ..Rows::default() }
    }

    #[test]
    fn each_end_is_asked_for_its_own_part() {
        let mut programs = rows().programs;
        programs.push(program("echo-only", |info| info.services.retain(|name| name == "echo")));
        let catalogue = Catalogue::built_in();
        let supports = |server: &str, client: &str, scenario: &str| {
            let pair = Pair { server: server.to_owned(), client: client.to_owned() };
            supports(&programs, &pair, &catalogue.scenarios[scenario]).map_err(|stop| stop.to_string())
        };
        assert_eq!(supports("server", "both", "rtt-24"), Ok(()));
        assert_eq!(supports("echo-only", "both", "rtt-24"), Ok(()));
        let refused = supports("both", "server", "rtt-24").unwrap_err();
        assert!(refused.contains("`server`") && refused.contains("ping-pong of a client"), "{refused}");
        let refused = supports("echo-only", "both", "push-100").unwrap_err();
        assert!(refused.contains("`echo-only`") && refused.contains("/push"), "{refused}");
        assert!(supports("both", "nobody", "rtt-24").is_err());
    }

    #[test]
    fn a_row_without_a_client_is_left_out_where_it_would_be_one() {
        let mut chosen = rows();
        leave_out_servers_only(&mut chosen, Pairing::Servers, &[]).unwrap();
        assert_eq!(chosen.programs.len(), 2);

        leave_out_servers_only(&mut chosen, Pairing::Same, &["available".to_owned()]).unwrap();
        assert_eq!(chosen.programs.len(), 1);
        assert!(chosen.unavailable["server"].contains("--pairs same"));

        let by_hand = leave_out_servers_only(&mut rows(), Pairing::All, &["server".to_owned()]);
        assert!(by_hand.unwrap_err().to_string().contains("`server` is a server only"));
    }
}
