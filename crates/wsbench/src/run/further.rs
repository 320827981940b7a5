//! Rounds beyond the planned ones: until intervals are narrow, or in place of disturbed ones.

use std::collections::BTreeSet;

use bench_core::{
    mark::Mark,
    record::{Record, Session},
};

use crate::{
    plan,
    summary::{Group, RowFigures, Summary},
    verdict::Verdict,
};

/// How narrow the intervals are to become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Upper over lower end of a ratio's interval, less 1.
    pub(super) width: f64,
}

impl Target {
    /// Whether another round is needed.
    pub(super) fn is_missed(self, summary: &Summary, session: &Session) -> bool {
        let wide = |row: &RowFigures| {
            row.judged.is_some_and(|judged| match (judged.verdict, judged.interval) {
                (Verdict::Baseline, _) => false,
                // Further rounds would not give it more cores.
                _ if row.marks.contains_key(&Mark::CoresShared) => false,
                (Verdict::TooFew { .. }, _) | (_, None) => true,
                (_, Some((low, high))) => high / low - 1.0 > self.width,
            })
        };
        summary.groups.iter().filter(|group| grows(group, session)).flat_map(|group| &group.rows).any(wide)
    }
}

/// Most rounds of a run that replaces disturbed ones: half as many again as planned, because a machine that disturbs more
/// than a third of the blocks is not one to measure on.
pub(super) fn most_rounds(planned: u32) -> u32 {
    planned + planned / 2
}

/// The scenarios that disturbed trials have cost a verdict, by name.
///
/// Whether a trial was disturbed is decided by what others took from the machine and never by its figures, so that measuring
/// again until enough are undisturbed favours nobody.
pub(super) fn robbed(summary: &Summary, trials: &[Record], session: &Session) -> BTreeSet<String> {
    let disturbed = |name: &str| {
        let own = trials.iter().filter(|trial| trial.scenario.name == name);
        own.filter(|trial| trial.marks.contains(&Mark::Disturbed)).count()
    };
    let is_robbed = |group: &&Group| {
        let name = &group.scenario.name;
        grows(group, session)
            && group.rows.iter().any(|row| match row.judged.map(|judged| judged.verdict) {
                Some(Verdict::TooFew { blocks, needed }) => {
                    !row.marks.contains_key(&Mark::CoresShared)
                        && needed <= plan::rounds_of(session, name) as usize
                        && needed.saturating_sub(blocks) <= disturbed(name)
                }
                _ => false,
            })
    };
    summary.groups.iter().filter(is_robbed).map(|group| group.scenario.name.clone()).collect()
}

/// Plans a further round of some scenarios: the others have had theirs.
pub(super) fn add_round(session: &mut Session, scenarios: &BTreeSet<String>) {
    for scenario in &session.scenarios {
        if !scenarios.contains(&scenario.name) {
            session.rounds_of.entry(scenario.name.clone()).or_insert(session.rounds);
        }
    }
    session.rounds += 1;
}

/// What has its own number of rounds gets no more of them: they would come between blocks that are numbered already. Nor do
/// the rates of a curve, whose rounds follow the planned ones.
fn grows(group: &Group, session: &Session) -> bool {
    !session.rounds_of.contains_key(&group.scenario.name) && session.objective.is_none()
}

#[cfg(test)]
mod tests {
    use bench_core::catalogue::Catalogue;

    use super::*;
    use crate::results::{
        Results,
        tests::{session, trial},
    };

    /// A run of seven rounds of which smol was disturbed in some.
    fn run_disturbed_in(rounds: std::ops::Range<u32>, mark: Mark) -> (Session, Results) {
        let session = Session { rounds: 7, ..session() };
        let trials = (0..7).flat_map(|block| {
            let cpu = move |base: u64| base + u64::from(block % 3) * 1_000;
            let marked = rounds.contains(&block);
            [("tokio", 5_000_000), ("smol", 9_000_000), ("tokio#aa", 5_000_000)].into_iter().zip(0..).map(
                move |((row, base), order)| {
                    let mut record = trial(row, block, order, cpu(base));
                    if marked && row == "smol" {
                        record.marks.insert(mark);
                    }
                    record
                },
            )
        });
        let results =
            Results { trials: trials.collect(), sessions: vec![session.clone()], ..Results::default() };
        (session, results)
    }

    fn robbed_in(rounds: std::ops::Range<u32>, mark: Mark) -> usize {
        let (session, results) = run_disturbed_in(rounds, mark);
        robbed(&Summary::new(&results, 0.95), &results.trials, &session).len()
    }

    #[test]
    fn a_scenario_is_robbed_where_disturbances_cost_it_a_verdict_and_only_there() {
        assert_eq!(robbed_in(0..0, Mark::Disturbed), 0);
        assert_eq!(robbed_in(0..3, Mark::Disturbed), 1);
        // Shared cores stay shared, in however many rounds.
        assert_eq!(robbed_in(0..3, Mark::CoresShared), 0);
        let (mut session, results) = run_disturbed_in(0..3, Mark::Disturbed);
        session.rounds = 3;
        let of = |session: &Session| robbed(&Summary::new(&results, 0.95), &results.trials, session).len();
        assert_eq!(of(&session), 0, "so few rounds carry no verdict, disturbed or not");
        session.rounds = 7;
        session.rounds_of.insert("rtt-24".to_owned(), 7);
        assert_eq!(of(&session), 0);
    }

    #[test]
    fn a_further_round_follows_the_planned_ones_and_leaves_their_numbers() {
        let mut session = session();
        session.scenarios.push(Catalogue::built_in().scenarios["closed-100"].clone());
        let planned = plan::blocks(&session);
        add_round(&mut session, &["closed-100".to_owned()].into());
        let more = plan::blocks(&session);
        assert_eq!(more[..planned.len()], planned);
        let further: Vec<&str> =
            more[planned.len()..].iter().map(|block| block.scenario.name.as_str()).collect();
        assert_eq!(further, ["closed-100"]);
        assert_eq!(plan::trials(&session), 3 * more.len() as u64);
        assert_eq!((most_rounds(1), most_rounds(7), most_rounds(10)), (1, 10, 15));
    }
}
