//! Which rows of a scenario are first, by what was shown of each pair.

use crate::analysis::{
    group::{Group, RowFigures},
    verdict::Verdict,
};

/// The rows that lead: one that is better than each other row, or else all that no leader is shown to be better than.
///
/// A row can be shown to be better than another one by their own interval, or through rows between the two: what is worse than
/// what is worse is worse. All these claims hold together at the confidence of the verdicts.
///
/// Rows without a rank are not among the leaders and do not count. Empty where no row has a rank, and where rows are better
/// than each other in a circle.
pub(crate) fn leaders(group: &Group) -> Vec<&RowFigures> {
    let rank = |place: &usize| group.rows[*place].judged.and_then(|judged| judged.rank);
    let ranked: Vec<usize> = (0..group.rows.len()).filter(|place| rank(place).is_some()).collect();
    let mut reached: Vec<usize> = ranked.iter().copied().filter(|place| rank(place) == Some(1)).collect();
    let unbeaten = reached.len();
    let mut next = 0;
    while next < reached.len() {
        let better = reached[next];
        let worse =
            ranked.iter().filter(|place| !reached.contains(place) && is_better(group, better, **place));
        let worse: Vec<usize> = worse.copied().collect();
        reached.extend(worse);
        next += 1;
    }
    let behind = &reached[unbeaten..];
    let leads = |place: &usize| unbeaten > 0 && !behind.contains(place);
    ranked.into_iter().filter(leads).map(|place| &group.rows[place]).collect()
}

/// Whether one row is shown to be better than another by the ranking metric: by the interval of these two.
fn is_better(group: &Group, one: usize, other: usize) -> bool {
    let better = if group.ranking.higher_is_better { Verdict::Greater } else { Verdict::Less };
    let opposite = if group.ranking.higher_is_better { Verdict::Less } else { Verdict::Greater };
    let verdict = |place: usize| group.rows[place].judged.map(|judged| judged.verdict);
    if verdict(other) == Some(Verdict::Baseline) {
        return verdict(one) == Some(better);
    }
    if verdict(one) == Some(Verdict::Baseline) {
        return verdict(other) == Some(opposite);
    }
    group.pairs.iter().any(|pair| {
        (pair.rows == (one, other) && pair.verdict == better)
            || (pair.rows == (other, one) && pair.verdict == opposite)
    })
}

#[cfg(test)]
mod tests {
    use trial::{mark::Mark, record::Record};

    use super::*;
    use crate::analysis::{
        results::{
            Results,
            tests::{session, trial},
        },
        summary::Summary,
    };

    /// Ten rounds of rows that cost so much, of which these were disturbed in these rounds.
    fn summary(rows: &[(&str, u64)], disturbed: &[(&str, std::ops::Range<u32>)]) -> Summary {
        let of_block = |block: u32| -> Vec<Record> {
            let record = |(order, (row, cost)): (u32, &(&str, u64))| {
                let mut record =
                    trial(row, block, order, cost + u64::from((block * 7 + order * 3) % 11) * 100);
                let is_disturbed =
                    |(name, rounds): &(&str, std::ops::Range<u32>)| name == row && rounds.contains(&block);
                record.marks.extend(disturbed.iter().any(is_disturbed).then_some(Mark::Disturbed));
                record
            };
            (0..).zip(rows).map(record).collect()
        };
        let trials = (0..10).flat_map(of_block).collect();
        Summary::new(&Results { sessions: vec![session()], trials, ..Results::default() }, 0.95)
    }

    fn names(summary: &Summary) -> Vec<&str> {
        leaders(&summary.groups[0]).into_iter().map(|row| row.server.as_str()).collect()
    }

    const ROWS: [(&str, u64); 4] =
        [("tokio", 1_000_000), ("tokio#aa", 1_000_000), ("mio", 900_000), ("smol", 1_100_000)];

    #[test]
    fn the_first_is_better_than_each_other_row() {
        assert_eq!(names(&summary(&ROWS, &[])), ["mio"]);
        let mut equal = ROWS;
        equal[2].1 = 1_000_000;
        assert_eq!(names(&summary(&equal, &[])), ["mio", "tokio"]);
    }

    #[test]
    fn a_row_that_was_not_compared_with_the_first_is_behind_it_only_through_others() {
        // Seven rounds of each with tokio, and four of both.
        let disturbed = [("mio", 0..3), ("smol", 3..6)];
        assert_eq!(names(&summary(&ROWS, &disturbed)), ["mio"]);
        let mut equal = ROWS;
        equal[3].1 = 1_000_000;
        assert_eq!(names(&summary(&equal, &disturbed)), ["mio", "smol"]);
    }
}
