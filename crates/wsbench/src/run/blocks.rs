//! Block after block, whatever runs a trial.

use trial::record::{Pair, Position, Record, Session};

use crate::{
    analysis::results::Progress,
    exit::Stop,
    run::plan::{self, Block},
};

/// Whether every trial of a block has a record.
pub(crate) fn is_done(block: &Block, done: &Progress) -> bool {
    done.get(&block.number).is_some_and(|attempt| attempt.orders.len() == block.pairs.len())
}

/// Runs all blocks of a session that are not done, until a trial was interrupted (`None`), and says whether one failed.
///
/// A block that lacks a record is repeated whole, as a further attempt.
///
/// # Errors
/// When a record cannot be kept: nothing more is measured then.
pub(crate) fn run_blocks(
    session: &Session,
    done: &Progress,
    mut trial: impl FnMut(&Block, &Pair, Position) -> Option<Record>,
    mut keep: impl FnMut(Record) -> Result<(), Stop>,
) -> Result<bool, Stop> {
    let mut failed = false;
    for block in plan::blocks(session) {
        if is_done(&block, done) {
            continue;
        }
        let attempt = done.get(&block.number).map_or(0, |attempt| attempt.number + 1);
        for (order, pair) in (0..).zip(&block.pairs) {
            let position = Position { round: block.round, block: block.number, attempt, order };
            let Some(record) = trial(&block, pair, position) else { return Ok(failed) };
            failed |= record.error.is_some();
            keep(record)?;
        }
    }
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use trial::{Failure, Step};

    use super::*;
    use crate::analysis::results::{
        Attempt,
        tests::{session, trial},
    };

    /// Runs a session against a script; returns the records kept.
    fn scripted(done: &Progress, fail: impl Fn(Position) -> bool) -> (Vec<Record>, bool) {
        let mut kept = Vec::new();
        let failed = run_blocks(
            &session(),
            done,
            |block, pair, position| {
                let mut record = trial(&pair.server, block.number, position.order, 1_000);
                record.attempt = position.attempt;
                record.error =
                    fail(position).then(|| Failure { step: Step::Measure, message: "scripted".to_owned() });
                Some(record)
            },
            |record| {
                kept.push(record);
                Ok(())
            },
        );
        (kept, failed.unwrap())
    }

    #[test]
    fn every_trial_is_kept_and_a_failed_one_does_not_end_the_run() {
        let (kept, failed) = scripted(&Progress::new(), |position| position.block == 1);
        assert_eq!(kept.len(), 9);
        assert!(failed);
        assert_eq!(kept.iter().filter(|record| record.error.is_some()).count(), 3);
    }

    #[test]
    fn a_resumed_run_repeats_an_unfinished_block_whole() {
        let attempt = |orders: &[u32]| Attempt { number: 0, orders: orders.iter().copied().collect() };
        let done = [(0, attempt(&[0, 1, 2])), (1, attempt(&[0]))].into();
        let (kept, failed) = scripted(&done, |_| false);
        let blocks: Vec<(u32, u32)> = kept.iter().map(|record| (record.block, record.attempt)).collect();
        assert_eq!(blocks, [(1, 1), (1, 1), (1, 1), (2, 0), (2, 0), (2, 0)]);
        assert!(!failed);
    }

    #[test]
    fn a_record_that_cannot_be_kept_ends_the_run() {
        let mut trials = 0;
        let result = run_blocks(
            &session(),
            &Progress::new(),
            |_, pair, position| {
                trials += 1;
                Some(trial(&pair.server, position.block, position.order, 1))
            },
            |_| Err(Stop::failed("the disk is full")),
        );
        assert!(result.is_err());
        assert_eq!(trials, 1);
    }

    #[test]
    fn an_interrupted_trial_is_the_last_and_is_not_kept() {
        let mut kept = 0;
        let trial = |_: &Block, pair: &Pair, position: Position| {
            (position.block < 1).then(|| trial(&pair.server, position.block, position.order, 1))
        };
        let failed = run_blocks(&session(), &Progress::new(), trial, |_| {
            kept += 1;
            Ok(())
        });
        assert_eq!((kept, failed.unwrap()), (3, false));
    }
}
