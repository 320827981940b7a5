//! Scenarios that ask for a number of worker threads: they need as many cores, and rows that take so many.

use std::collections::BTreeMap;

use trial::{catalogue::Scenario, placement};

use crate::{
    analysis::twin::row_of,
    exit::Stop,
    run::{pairing::Participants, select::Selection},
};

/// Takes the scenarios out of a selection that this machine or these rows cannot carry out, and returns their names with
/// the reasons. `names` are those that were asked for by hand, patterns among them.
///
/// # Errors
/// When one of them was asked for by its name, or none is left.
pub(crate) fn leave_out_impossible(
    selection: &mut Selection,
    participants: &Participants,
    names: &[String],
) -> Result<BTreeMap<String, String>, Stop> {
    let most = |row: &str| participants.programs.iter().find(|program| program.row == row_of(row));
    let servers: Vec<u32> =
        participants.pairs.iter().filter_map(|pair| Some(most(&pair.server)?.info.max_threads)).collect();
    take_out(selection, &servers, placement::usable().ok(), names)
}

/// The same where the server rows take at most so many threads each, on so many cores.
fn take_out(
    selection: &mut Selection,
    servers: &[u32],
    usable: Option<u32>,
    names: &[String],
) -> Result<BTreeMap<String, String>, Stop> {
    let mut left_out = BTreeMap::new();
    for scenario in selection.scenarios.extract_if(.., |scenario| reason(scenario, servers, usable).is_some())
    {
        let reason = reason(&scenario, servers, usable).unwrap_or_default();
        if names.contains(&scenario.name) {
            return Err(Stop::usage(format!("`{}` {reason}", scenario.name)));
        }
        left_out.insert(scenario.name, reason);
    }
    match left_out.iter().next() {
        Some((name, reason)) if selection.scenarios.is_empty() => {
            Err(Stop::usage(format!("no scenario is left: `{name}` {reason}")))
        }
        _ => Ok(left_out),
    }
}

/// Why a scenario is not possible.
fn reason(scenario: &Scenario, servers: &[u32], usable: Option<u32>) -> Option<String> {
    let cores = scenario.server_cores?;
    if let Some(usable) = usable.filter(|usable| cores > *usable) {
        return Some(format!("needs {cores} cores for the server, and this process may use {usable}"));
    }
    servers
        .iter()
        .all(|most| cores > *most)
        .then(|| format!("needs {cores} worker threads, and none of the rows takes so many"))
}

#[cfg(test)]
mod tests {
    use bench_core::spec::Load;
    use trial::catalogue::Pairing;

    use super::*;

    fn selection() -> Selection {
        let scenario = |cores| Scenario {
            server_cores: cores,
            ..Scenario::new(&format!("cores-{cores:?}"), Load::default())
        };
        Selection {
            profile: None,
            scenarios: [None, Some(1), Some(2), Some(8)].map(scenario).into(),
            rounds: Some(1),
            rounds_of: BTreeMap::new(),
            pairing: Pairing::default(),
        }
    }

    #[test]
    fn more_workers_than_cores_or_rows_have_are_left_out_or_refused_with_the_numbers() {
        let mut chosen = selection();
        let left_out = take_out(&mut chosen, &[1, 1], Some(4), &["cores-*".to_owned()]).unwrap();
        assert_eq!(chosen.scenarios.len(), 2);
        assert!(left_out["cores-Some(2)"].contains("needs 2 worker threads"));
        assert!(
            left_out["cores-Some(8)"].contains("needs 8 cores for the server, and this process may use 4")
        );
        let kept = take_out(&mut selection(), &[1, 1024], Some(8), &[]).unwrap();
        assert!(kept.is_empty());

        let named = take_out(&mut selection(), &[1024], Some(2), &["cores-Some(8)".to_owned()]);
        assert!(named.unwrap_err().message.contains("may use 2"));
        let mut only = selection();
        only.scenarios.retain(|scenario| scenario.server_cores == Some(8));
        assert!(
            take_out(&mut only, &[1024], Some(2), &[]).unwrap_err().message.contains("no scenario is left")
        );
    }
}
