//! The order of a run: rounds of blocks of trials, shuffled by a recorded seed.
//!
//! A block is one scenario with all its pairs and the twin, back to back; a round is all blocks. Ratios are formed
//! only inside a block, where the machine has had the least time to change.

use bench_core::spec::Role;
use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64;
use std::time::Duration;
use trial::{
    catalogue::{Pairing, Scenario},
    execute::expected,
    record::{FoundPoint, Pair, Session},
};

use crate::analysis::{
    planned::{all_rounds, compared, rounds_of, takes_part},
    twin,
};

/// One scenario in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Number in the run, from 0.
    pub number: u32,
    /// Round, from 0.
    pub round: u32,
    /// The scenario.
    pub scenario: Scenario,
    /// The pairs in the order in which they are measured.
    pub pairs: Vec<Pair>,
}

/// The pairs of rows of every scenario, with the twin.
pub fn pairs(pairing: Pairing, rows: &[String], baseline: &str, reference: &str) -> Vec<Pair> {
    let pair = |server: &str, client: &str| Pair { server: server.to_owned(), client: client.to_owned() };
    let twin = twin::name_of(baseline);
    let mut pairs: Vec<Pair> = match pairing {
        Pairing::Servers => rows.iter().map(|row| pair(row, reference)).collect(),
        Pairing::Clients => rows.iter().map(|row| pair(reference, row)).collect(),
        Pairing::Same => rows.iter().map(|row| pair(row, row)).collect(),
        Pairing::All => {
            rows.iter().flat_map(|server| rows.iter().map(|client| pair(server, client))).collect()
        }
    };
    pairs.push(match pairing {
        Pairing::Servers => pair(&twin, reference),
        Pairing::Clients => pair(reference, &twin),
        Pairing::Same => pair(&twin, &twin),
        Pairing::All => pair(&twin, baseline),
    });
    pairs
}

/// Each of some servers with each of some clients, with the twin.
pub fn cross(servers: &[String], clients: &[String], role: Role, baseline: &str) -> Vec<Pair> {
    let twin = twin::name_of(baseline);
    let (server, client) = role.own((&twin, &clients[0]), (&servers[0], &twin));
    let pair = |server: &String, client: &String| Pair { server: server.clone(), client: client.clone() };
    let all = servers.iter().flat_map(|server| clients.iter().map(move |client| pair(server, client)));
    all.chain([pair(server, client)]).collect()
}

/// The side that a pairing compares.
pub fn role(pairing: Pairing) -> Role {
    match pairing {
        Pairing::Clients => Role::Client,
        Pairing::Servers | Pairing::Same | Pairing::All => Role::Server,
    }
}

/// All blocks of a session, in order. The same session always gives the same order, and what is added to it while it runs
/// comes after what was there before.
pub fn blocks(session: &Session) -> Vec<Block> {
    let mut random = Pcg64::seed_from_u64(session.seed);
    let mut blocks = Vec::new();
    for round in 0..all_rounds(session) {
        let mut scenarios = session.scenarios.clone();
        scenarios.shuffle(&mut random);
        for scenario in scenarios {
            let mut pairs = session.pairs.clone();
            pairs.shuffle(&mut random);
            // After the shuffles: what has had its rounds, or a row that is left out, does not change the order of the rest.
            let is_due = match round.checked_sub(session.rounds) {
                None => round < rounds_of(session, &scenario.name),
                Some(further) => session.further[further as usize].contains(&scenario.name),
            };
            if !is_due {
                continue;
            }
            pairs.retain(|pair| takes_part(session, &scenario.name, pair));
            blocks.push(Block { number: blocks.len() as u32, round, scenario, pairs });
        }
    }
    for (wave, points) in (1..).zip(&session.waves) {
        // An order of its own, so that no wave changes that of what was measured before it.
        let mut random = Pcg64::seed_from_u64(session.seed.wrapping_add(wave));
        for round in 0..session.rounds {
            let mut points = points.clone();
            points.shuffle(&mut random);
            for FoundPoint { scenario, rows } in points {
                let mut pairs = session.pairs.clone();
                pairs.shuffle(&mut random);
                pairs.retain(|pair| rows.contains(compared(pair, session.role)));
                blocks.push(Block { number: blocks.len() as u32, round, scenario, pairs });
            }
        }
    }
    blocks
}

/// How long blocks take, roughly.
pub fn duration(blocks: &[Block]) -> Duration {
    blocks.iter().map(|block| expected(&block.scenario) * block.pairs.len() as u32).sum()
}

#[cfg(test)]
mod tests {
    use trial::catalogue::Catalogue;

    use super::*;
    use crate::analysis::{planned::trials, results::tests::session};

    fn names(pairs: &[Pair]) -> Vec<String> {
        pairs.iter().map(|pair| format!("{}/{}", pair.server, pair.client)).collect()
    }

    #[test]
    fn pairings_and_their_twin() {
        let rows = ["tokio".to_owned(), "smol".to_owned()];
        let of = |pairing| names(&pairs(pairing, &rows, "tokio", "tokio"));
        assert_eq!(of(Pairing::Servers), ["tokio/tokio", "smol/tokio", "tokio#aa/tokio"]);
        assert_eq!(of(Pairing::Clients), ["tokio/tokio", "tokio/smol", "tokio/tokio#aa"]);
        assert_eq!(of(Pairing::Same), ["tokio/tokio", "smol/smol", "tokio#aa/tokio#aa"]);
        assert_eq!(of(Pairing::All).len(), 5);
    }

    #[test]
    fn scalability_of_three_rows_takes_less_than_forty_minutes() {
        let catalogue = Catalogue::built_in();
        let profile = &catalogue.profiles["scalability"];
        let mut session = session();
        session.rounds = profile.rounds.expect("the profile says so");
        session.scenarios = catalogue.of_profile(profile);
        let own = session.scenarios.iter();
        session.rounds_of =
            own.filter_map(|scenario| Some((scenario.name.clone(), profile.rounds_of(scenario)?))).collect();
        let rows = ["tokio", "smol", "async-std"].map(str::to_owned);
        session.pairs = pairs(Pairing::Servers, &rows, "tokio", "tokio");
        let minutes = duration(&blocks(&session)).as_secs() / 60;
        assert!(minutes < 40, "{minutes} minutes");
    }

    #[test]
    fn a_further_round_follows_the_planned_ones_and_leaves_their_numbers() {
        let mut session = session();
        session.scenarios.push(Catalogue::built_in().scenarios["closed-100"].clone());
        session.rounds_of.insert("closed-100".to_owned(), 2);
        let planned = blocks(&session);
        session.further.push(["closed-100".to_owned()].into());
        let more = blocks(&session);
        assert_eq!(more[..planned.len()], planned);
        let further: Vec<_> =
            more[planned.len()..].iter().map(|block| (block.scenario.name.as_str(), block.round)).collect();
        assert_eq!(further, [("closed-100", 3)]);
        assert_eq!(trials(&session), 3 * more.len() as u64);
    }

    #[test]
    fn every_round_holds_every_trial_once_and_a_seed_fixes_the_order() {
        let catalogue = Catalogue::built_in();
        let mut session = session();
        session.rounds = 5;
        session.scenarios = catalogue.of_profile(&catalogue.profiles["quick"]);
        let first = blocks(&session);
        assert_eq!(first.len(), 5 * session.scenarios.len());
        for round in first.chunks(session.scenarios.len()) {
            let mut scenarios: Vec<&str> = round.iter().map(|block| block.scenario.name.as_str()).collect();
            scenarios.sort();
            assert_eq!(
                scenarios,
                ["closed-100", "closed-100-shared", "one-way-10000", "rtt-24", "window-64"]
            );
            for block in round {
                let mut pairs = block.pairs.clone();
                pairs.sort();
                let mut all = session.pairs.clone();
                all.sort();
                assert_eq!(pairs, all);
            }
        }
        assert_eq!(first, blocks(&session));
        let counted = |session: &Session| {
            blocks(session).iter().map(|block| block.pairs.len() as u64).sum::<u64>() == trials(session)
        };
        assert!(counted(&session));
        let smol = [("smol".to_owned(), "a reason".to_owned())].into();
        session.left_out.insert("window-64".to_owned(), smol);
        for (all, fewer) in first.iter().zip(blocks(&session)) {
            let mut expected = all.pairs.clone();
            expected.retain(|pair| fewer.scenario.name != "window-64" || pair.server != "smol");
            assert_eq!(fewer.pairs, expected);
        }
        assert!(counted(&session));
        session.left_out.clear();
        session.rounds_of.insert("window-64".to_owned(), 2);
        assert!(counted(&session));
        let fewer = blocks(&session);
        let kept = first.iter().filter(|block| block.scenario.name != "window-64" || block.round < 2);
        let order = |block: &Block| (block.round, block.scenario.name.clone(), block.pairs.clone());
        assert_eq!(fewer.iter().map(order).collect::<Vec<_>>(), kept.map(order).collect::<Vec<_>>());
        session.rounds_of.clear();
        session.seed += 1;
        assert_ne!(first, blocks(&session));
    }
}
