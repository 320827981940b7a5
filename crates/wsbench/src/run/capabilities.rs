//! What the rows of a run offer, against what its scenarios ask of them: a server needs the service, a client the
//! workload, both the flush policy where it decides what is measured, and each what a field of the load asks of it.

use std::collections::BTreeMap;

use bench_core::spec::{Feature, Role};
use clap::ValueEnum;
use trial::{
    Program,
    catalogue::{Pairing, Scenario},
    record::Pair,
};

use crate::{
    analysis::{
        missing_capability::MissingCapability,
        twin::{is_twin, row_of},
    },
    exit::Stop,
    run::rows::Rows,
};

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

/// What a server under TLS does not have.
const WITHOUT_TLS: &str = "connections without TLS";

/// The rows that are left out of a scenario, by its name, with what they do not offer.
///
/// # Errors
/// When a row has no program, or a scenario could not be compared without the row: it is the baseline, which the twin
/// stands for, or every pair has it.
pub fn left_out(
    programs: &[Program],
    scenarios: &[Scenario],
    pairs: &[Pair],
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Stop> {
    let mut left_out: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for pair in pairs {
        refuse_client_without_handshake(find(programs, &pair.server)?, find(programs, &pair.client)?)?;
    }
    for scenario in scenarios {
        for pair in pairs {
            for (name, role) in [(&pair.server, Role::Server), (&pair.client, Role::Client)] {
                let program = find(programs, name)?;
                let Some(what) = lacks(program, role, scenario) else { continue };
                let row = row_of(name);
                let everywhere =
                    pairs.iter().all(|pair| row_of(&pair.server) == row || row_of(&pair.client) == row);
                // How rows grow with their cores can be looked at without one that has only one, which may still be the
                // client of the others.
                if !what.matters_to_servers_only() && (is_twin(name) || everywhere) {
                    return Err(Stop::usage(format!(
                        "the row `{row}` does not offer what `{}` needs, {what}, and nothing could be compared without \
                         it: leave one of them out",
                        scenario.name
                    )));
                }
                left_out.entry(scenario.name.clone()).or_default().insert(row.to_owned(), what.to_string());
            }
        }
    }
    Ok(left_out)
}

/// A server that is started by a command may ask for headers that not every client can send.
fn refuse_client_without_handshake(server: &Program, client: &Program) -> Result<(), Stop> {
    let is_special = server.exec.as_ref().is_some_and(|exec| exec.needs_special_handshake());
    if is_special && !client.info.features.contains(&Feature::Handshake) {
        return Err(Stop::usage(format!(
            "the row `{}` needs headers, subprotocols or a server name, and the client `{}` cannot send them: take another              client with --reference",
            server.row, client.row
        )));
    }
    Ok(())
}

fn find<'a>(programs: &'a [Program], name: &str) -> Result<&'a Program, Stop> {
    let row = row_of(name);
    let found = programs.iter().find(|program| program.row == row);
    found.ok_or_else(|| Stop::failed(format!("there is no program for the row `{row}`")))
}

/// What a row does not offer of what it needs at one end of a scenario.
fn lacks(program: &Program, role: Role, scenario: &Scenario) -> Option<MissingCapability> {
    let info = &program.info;
    let mut loads = scenario.loads();
    let of_load = loads.find_map(|load| {
        let (workload, flush) = (load.workload(), scenario.socket.flush);
        let service = load.service();
        match role {
            Role::Server if !info.services.iter().any(|offered| offered == service) => {
                Some(MissingCapability::Service(service.to_owned()))
            }
            Role::Client if !info.workloads.contains(&workload) => {
                Some(MissingCapability::Workload(workload.name().to_owned()))
            }
            _ if !info.offers_flush(workload, flush) => {
                Some(MissingCapability::Flush(flush.name().to_owned()))
            }
            _ => None,
        }
    });
    let feature = || {
        let needs = scenario.needs(role);
        needs.into_iter().find(|needed| !info.features.contains(needed))
    };
    // The server of a command is under TLS or it is not.
    let of_tls = || match (role, &program.exec) {
        (Role::Server, Some(exec)) if exec.tls.is_some() && !scenario.socket.tls => {
            Some(MissingCapability::Feature(WITHOUT_TLS.to_owned()))
        }
        _ => None,
    };
    let of_cores = || scenario.server_cores.filter(|cores| role == Role::Server && *cores > info.max_threads);
    of_load
        .or_else(|| feature().map(|feature| MissingCapability::Feature(feature.name())))
        .or_else(of_tls)
        .or_else(|| of_cores().map(MissingCapability::Workers))
}

#[cfg(test)]
mod tests {
    use bench_core::{
        RowInfo,
        spec::{Flush, PingPong, Work},
    };
    use trial::catalogue::Catalogue;

    use super::*;

    fn program(row: &str, change: impl FnOnce(&mut RowInfo)) -> Program {
        let mut info = RowInfo::new(row, "1");
        change(&mut info);
        Program {
            row: row.to_owned(),
            path: row.into(),
            prefix: Vec::new(),
            info,
            sha256: String::new(),
            exec: None,
        }
    }

    fn rows() -> Rows {
        let programs = vec![program("both", |_| ()), program("server", |info| info.workloads.clear())];
        Rows { programs, ..Rows::default() }
    }

    #[test]
    fn a_row_is_left_out_where_it_lacks_what_its_end_needs() {
        let mut programs = rows().programs;
        programs.push(program("echo-only", |info| info.services.retain(|name| name == "echo")));
        programs.push(program("each", |info| info.flush = vec![Flush::Each]));
        let catalogue = Catalogue::built_in();
        let known = programs.clone();
        let left_out = |pairs: &[(&str, &str)], scenario: &str| {
            let pair =
                |(server, client): &(&str, &str)| Pair { server: (*server).into(), client: (*client).into() };
            let pairs: Vec<Pair> = pairs.iter().map(pair).collect();
            super::left_out(&known, &[catalogue.scenarios[scenario].clone()], &pairs)
                .map(|rows| rows.get(scenario).cloned().unwrap_or_default())
                .map_err(|stop| stop.to_string())
        };
        let all = [("both", "both"), ("server", "both"), ("echo-only", "both"), ("each", "both")];
        assert_eq!(left_out(&all, "rtt-24"), Ok([].into()));
        let of = |row: &str, what: &str| Ok([(row.to_owned(), what.to_owned())].into());
        assert_eq!(left_out(&all, "push-100"), of("echo-only", "the service /push"));
        assert_eq!(left_out(&all, "window-64"), of("each", "the flush policy before-wait"));
        assert_eq!(
            left_out(&[("both", "both"), ("both", "server")], "rtt-24"),
            of("server", "the workload ping-pong of a client")
        );

        let mut burning = catalogue.scenarios["rtt-24"].clone();
        burning.load.work = Work::PingPong(PingPong { messages: None, burn_us: 5 });
        let pair = |server: &str| Pair { server: server.into(), client: "both".into() };
        let pairs = [pair("both"), pair("plain")];
        programs.push(program("plain", |info| info.features.clear()));
        let rows = super::left_out(&programs, std::slice::from_ref(&burning), &pairs).unwrap();
        assert_eq!(rows["rtt-24"], [("plain".to_owned(), "burn".to_owned())].into());
        let beside = Scenario { beside: Some(burning.load), ..catalogue.scenarios["rtt-24"].clone() };
        assert_eq!(super::left_out(&programs, &[beside], &pairs).unwrap(), rows);
        programs.push(program("multi", |info| info.max_threads = 8));
        let wide = Scenario { server_cores: Some(2), ..catalogue.scenarios["rtt-24"].clone() };
        let pairs = ["both", "multi", "both#aa"].map(pair);
        let rows = super::left_out(&programs, &[wide], &pairs).unwrap();
        assert_eq!(rows["rtt-24"], [("both".to_owned(), "2 worker threads".to_owned())].into());

        let refused = left_out(&[("both", "server"), ("each", "server")], "rtt-24").unwrap_err();
        assert!(refused.contains("`server`") && refused.contains("nothing could be compared"), "{refused}");
        let refused = left_out(&[("each#aa", "both"), ("both", "both")], "window-64").unwrap_err();
        assert!(refused.contains("`each`"), "{refused}");
        assert!(left_out(&[("both", "nobody")], "rtt-24").is_err());
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
