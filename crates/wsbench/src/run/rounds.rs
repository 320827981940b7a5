//! How many rounds a run has: as many as its verdicts need, or as many as fit into a time.

use std::{collections::BTreeMap, time::Duration};

use trial::{
    catalogue::{MAX_ROUNDS, Scenario},
    execute::expected,
    record::Session,
};

use crate::{
    analysis::{
        inference::rounds_needed,
        planned::{Family, takes_part},
    },
    exit::Stop,
};

/// Rounds beyond those that a verdict needs. With just these, a verdict needs all of them on one side; with two more, one
/// round that a slow phase turned around costs nothing, or one that was disturbed.
const SPARE: u32 = 2;

/// Least rounds that are chosen: with fewer, intervals are wide even where few rows share the level.
const LEAST: u32 = 10;

/// Rounds where nothing is judged: enough to see how far they lie apart.
const UNJUDGED: u32 = 5;

/// Rounds of each scenario of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rounds {
    /// Of all scenarios but those below.
    pub(crate) rounds: u32,
    /// Of the scenarios that have fewer.
    pub(crate) fewer: BTreeMap<String, u32>,
}

impl Rounds {
    /// As many as the verdicts of each scenario need, and a few more.
    pub(crate) fn needed(session: &Session, confidence: f64) -> Rounds {
        let of = |scenario: &Scenario| (scenario.name.clone(), chosen(session, scenario, confidence));
        Rounds::of(session.scenarios.iter().map(of).collect())
    }

    /// As many as fit into this time: those that verdicts need first, and then the same number more of each scenario.
    ///
    /// # Errors
    /// When not even one round fits.
    pub(crate) fn within(budget: Duration, session: &Session, confidence: f64) -> Result<Rounds, Stop> {
        let needed: BTreeMap<String, u32> = session
            .scenarios
            .iter()
            .map(|scenario| (scenario.name.clone(), chosen(session, scenario, confidence)))
            .collect();
        let most = needed.values().copied().max().unwrap_or(LEAST);
        let changed = |by: i64| -> BTreeMap<String, u32> {
            let rounds = |rounds: &u32| (i64::from(*rounds) + by).clamp(1, i64::from(MAX_ROUNDS)) as u32;
            needed.iter().map(|(name, own)| (name.clone(), rounds(own))).collect()
        };
        let fits = |by: &i64| duration(session, &changed(*by)) <= budget;
        // From below, because a longer plan takes longer.
        let all = 1 - i64::from(most)..i64::from(MAX_ROUNDS);
        let by = all.take_while(|by| fits(by)).last().ok_or_else(|| {
            let least = duration(session, &changed(1 - i64::from(most)));
            Stop::usage(format!(
                "--budget: one round of these rows and scenarios takes about {}: give more time, or fewer of them",
                indicatif::HumanDuration(least)
            ))
        })?;
        Ok(Rounds::of(changed(by)))
    }

    /// The same with rounds of some scenarios of their own, be they fewer or more.
    pub(crate) fn with(&self, own: impl Iterator<Item = (String, u32)>, session: &Session) -> Rounds {
        let names = session.scenarios.iter().map(|scenario| scenario.name.clone());
        let mut all: BTreeMap<String, u32> =
            names.map(|name| (name.clone(), self.fewer.get(&name).copied().unwrap_or(self.rounds))).collect();
        all.extend(own);
        Rounds::of(all)
    }

    fn of(all: BTreeMap<String, u32>) -> Rounds {
        let rounds = all.values().copied().max().unwrap_or(LEAST);
        Rounds { rounds, fewer: all.into_iter().filter(|(_, own)| *own < rounds).collect() }
    }
}

/// Rounds that a verdict needs in a scenario; `None` where nothing is judged.
pub(crate) fn least(session: &Session, scenario: &Scenario, confidence: f64) -> Option<u32> {
    let family = Family::new(session, scenario)?;
    Some(rounds_needed(family.comparisons(), confidence) as u32)
}

fn chosen(session: &Session, scenario: &Scenario, confidence: f64) -> u32 {
    least(session, scenario, confidence).map_or(UNJUDGED, |needed| (needed + SPARE).clamp(LEAST, MAX_ROUNDS))
}

/// How long a session takes, roughly, with so many rounds of each scenario.
fn duration(session: &Session, rounds: &BTreeMap<String, u32>) -> Duration {
    let of = |scenario: &Scenario| {
        let pairs = session.pairs.iter().filter(|pair| takes_part(session, &scenario.name, pair)).count();
        expected(scenario) * pairs as u32 * rounds.get(&scenario.name).copied().unwrap_or(0)
    };
    session.scenarios.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use trial::{catalogue::Catalogue, record::Pair};

    use super::*;
    use crate::{analysis::results::tests::session, run::plan};

    /// The default scenarios with so many rows.
    fn quick(rows: usize) -> Session {
        let catalogue = Catalogue::built_in();
        let names: Vec<String> =
            (0..rows).map(|row| if row == 0 { "tokio".to_owned() } else { format!("row-{row}") }).collect();
        let pairs: Vec<Pair> = plan::pairs(trial::catalogue::Pairing::Servers, &names, "tokio", "tokio");
        Session { scenarios: catalogue.of_profile(&catalogue.profiles["quick"]), pairs, ..session() }
    }

    #[test]
    fn rounds_follow_from_the_rows_and_what_is_judged() {
        let of = |rows: usize, name: &str| {
            let session = quick(rows);
            let Rounds { rounds, fewer } = Rounds::needed(&session, 0.95);
            let scenario = session.scenarios.iter().find(|scenario| scenario.name == name).unwrap();
            (least(&session, scenario, 0.95).unwrap(), fewer.get(name).copied().unwrap_or(rounds))
        };
        // 14 rows by server CPU, p50, p99 and relative to the client: 2 × 56 ÷ 0.05 = 2,240 < 2¹².
        assert_eq!(of(15, "rtt-24"), (12, 14));
        assert_eq!(of(15, "closed-100"), (10, 12));
        assert_eq!(of(2, "closed-100"), (6, 10));
    }

    #[test]
    fn the_default_of_fifteen_rows_takes_less_than_eight_minutes() {
        let mut session = quick(15);
        let Rounds { rounds, fewer } = Rounds::needed(&session, 0.95);
        (session.rounds, session.rounds_of) = (rounds, fewer);
        let seconds = plan::duration(&plan::blocks(&session)).as_secs();
        assert!(seconds < 480, "{seconds} s");
    }

    #[test]
    fn a_budget_is_used_and_kept() {
        let mut session = quick(3);
        for minutes in [1, 2, 8] {
            let budget = Duration::from_secs(60 * minutes);
            let Rounds { rounds, fewer } = Rounds::within(budget, &session, 0.95).unwrap();
            (session.rounds, session.rounds_of) = (rounds, fewer);
            let planned = plan::duration(&plan::blocks(&session));
            assert!(planned <= budget && planned * 10 > budget * 8, "{planned:?} of {budget:?}");
        }
        let refused = Rounds::within(Duration::from_millis(10), &session, 0.95).unwrap_err().message;
        assert!(refused.contains("one round of these rows"), "{refused}");
    }

    #[test]
    fn a_scenario_may_have_more_rounds_than_the_others() {
        let session = quick(3);
        let own = [("rtt-24".to_owned(), 30)].into_iter();
        let Rounds { rounds, fewer } = Rounds::needed(&session, 0.95).with(own, &session);
        assert_eq!((rounds, fewer.get("closed-100")), (30, Some(&10)));
        assert!(!fewer.contains_key("rtt-24"));
    }

    #[test]
    fn where_nothing_is_judged_few_rounds_are_enough() {
        assert_eq!(Rounds::needed(&quick(1), 0.95).rounds, UNJUDGED);
    }
}
