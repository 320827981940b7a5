//! Rounds beyond the planned ones: until intervals are narrow, or to replace disturbed ones.

use std::collections::BTreeSet;

use trial::{
    mark::Mark,
    record::{Record, Session},
};

use crate::analysis::{
    group::{Group, RowFigures},
    planned::rounds_of,
    summary::Summary,
    verdict::Verdict,
};

/// How narrow the intervals are to become, and in how many rounds at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Upper over lower end of a ratio's interval, less 1.
    pub(crate) width: f64,
    pub(crate) max_rounds: u32,
}

impl Target {
    /// Whether another round is needed.
    pub(crate) fn is_missed(self, summary: &Summary, session: &Session) -> bool {
        let wide = |group: &Group, row: &RowFigures| {
            row.judged_by(group.ranking).is_some_and(|judged| match (judged.verdict, judged.interval) {
                (Verdict::Baseline, _) => false,
                // Further rounds would not give it more cores.
                _ if row.marks.contains_key(&Mark::CoresShared) => false,
                (Verdict::TooFew { .. }, _) | (_, None) => true,
                (_, Some((low, high))) => high / low - 1.0 > self.width,
            })
        };
        // What has its own number of rounds gets no more of them.
        let grows = |group: &&Group| !session.rounds_of.contains_key(&group.scenario.name);
        let is_wide = |group: &Group| group.rows.iter().any(|row| wide(group, row));
        session.rounds < self.max_rounds && summary.groups.iter().filter(grows).any(is_wide)
    }
}

/// Of so many planned rounds one may be measured again: a machine that disturbs more than a third of the blocks is not one to
/// measure on.
const PLANNED_FOR_ONE: usize = 2;

/// The scenarios that disturbed trials have cost a verdict, by name.
///
/// Whether a trial was disturbed is decided by what others took from the machine and never by its figures, so that measuring
/// again until enough are undisturbed favours nobody.
pub(crate) fn robbed(summary: &Summary, trials: &[Record], session: &Session) -> BTreeSet<String> {
    // The blocks of a curve's found rates are numbered after the planned ones, and so are further rounds.
    if session.objective.is_some() {
        return BTreeSet::new();
    }
    let disturbed = |name: &str| {
        let own = trials.iter().filter(|trial| trial.scenario.name == name);
        own.filter(|trial| trial.marks.contains(&Mark::Disturbed)).count()
    };
    let is_robbed = |group: &&Group| {
        let name = &group.scenario.name;
        let planned = rounds_of(session, name) as usize;
        let further = session.further.iter().filter(|scenarios| scenarios.contains(name)).count();
        let is_lacking = |verdict: Verdict| match verdict {
            Verdict::TooFew { blocks, needed } => {
                needed <= planned && needed.saturating_sub(blocks) <= disturbed(name)
            }
            _ => false,
        };
        let lacks = |row: &RowFigures| {
            // Further rounds would not give it more cores.
            !row.marks.contains_key(&Mark::CoresShared)
                && row.judged.values().any(|judged| is_lacking(judged.verdict))
        };
        further < planned / PLANNED_FOR_ONE && group.rows.iter().any(lacks)
    };
    summary.groups.iter().filter(is_robbed).map(|group| group.scenario.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::results::{
        Results,
        tests::{session, trial},
    };

    /// A run of nine rounds, one more than verdicts need, of which smol was disturbed in some.
    fn run_disturbed_in(rounds: std::ops::Range<u32>, mark: Mark) -> (Session, Results) {
        let session = Session { rounds: 9, ..session() };
        let trials = (0..9).flat_map(|block| {
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
        session.rounds = 9;
        session.further = vec![["rtt-24".to_owned()].into(); 4];
        assert_eq!(of(&session), 0, "half as many again are enough");
    }
}
