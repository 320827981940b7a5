//! Which rows of a scenario are first, by what was shown of each pair.

use crate::analysis::{
    group::{Group, JudgedMetric},
    verdict::Pair,
};

/// Where the rows of a group stand by one metric. Rows without a rank are not part of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// The rows that no row is shown to be better than, by place. Empty where no row has a rank, and where rows are better
    /// than each other in a circle.
    pub(crate) leaders: Vec<usize>,
    /// The others.
    pub(crate) behind: Vec<Behind>,
    /// Whether there is one leader, and the interval of each pair shows that it is better than the other row.
    pub(crate) has_first: bool,
}

/// A row that some other one is shown to be better than.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Behind {
    /// Its place.
    pub(crate) row: usize,
    /// This row and a better one: the first leader that is shown to be, or else the first row.
    pub(crate) pair: Pair,
}

impl Standing {
    /// The standing of a group's rows by a metric.
    pub(crate) fn new(group: &Group, judged: &JudgedMetric) -> Standing {
        let rank = |place: usize| group.rows[place].judged_by(judged.metric).and_then(|row| row.rank);
        let ranked: Vec<usize> = (0..group.rows.len()).filter(|place| rank(*place).is_some()).collect();
        let (leaders, others): (Vec<usize>, Vec<usize>) =
            ranked.iter().partition(|place| rank(**place) == Some(1));
        let is_better =
            |one: usize, other: usize| judged.pair(one, other).filter(|pair| pair.is_better(judged.metric));
        let behind = |row: &usize| {
            let better = leaders.iter().chain(&others).find_map(|better| is_better(*better, *row))?;
            Some(Behind { row: *row, pair: better.reversed() })
        };
        let has_first = match leaders[..] {
            [leader] => others.iter().all(|other| is_better(leader, *other).is_some()),
            _ => false,
        };
        Standing { behind: others.iter().filter_map(behind).collect(), has_first, leaders }
    }
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

    /// Fourteen rounds of rows that cost so much, of which these were disturbed in these rounds.
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
        let trials = (0..14).flat_map(of_block).collect();
        Summary::new(&Results { sessions: vec![session()], trials, ..Results::default() }, 0.95)
    }

    fn standing(summary: &Summary) -> Standing {
        let group = &summary.groups[0];
        Standing::new(group, &group.judged[0])
    }

    fn names<'a>(summary: &'a Summary, places: &[usize]) -> Vec<&'a str> {
        places.iter().map(|place| summary.groups[0].rows[*place].server.as_str()).collect()
    }

    const ROWS: [(&str, u64); 4] =
        [("tokio", 1_000_000), ("tokio#aa", 1_000_000), ("mio", 900_000), ("smol", 1_100_000)];

    #[test]
    fn the_first_is_better_than_each_other_row() {
        let summary = summary(&ROWS, &[]);
        let standing = standing(&summary);
        assert!(standing.has_first);
        assert_eq!(names(&summary, &standing.leaders), ["mio"]);
        // Each of the others with what was shown of it and the first, which is that it is worse.
        for behind in &standing.behind {
            assert_eq!(behind.pair.rows, (behind.row, standing.leaders[0]));
            assert!(behind.pair.interval.0 > 1.0, "{behind:?}");
        }
        assert_eq!(standing.behind.len(), 2);
    }

    #[test]
    fn rows_that_are_not_told_apart_share_the_lead() {
        let mut equal = ROWS;
        equal[2].1 = 1_000_000;
        let summary = summary(&equal, &[]);
        let standing = standing(&summary);
        assert!(!standing.has_first);
        let mut leaders = names(&summary, &standing.leaders);
        leaders.sort_unstable();
        assert_eq!(leaders, ["mio", "tokio"]);
    }

    #[test]
    fn a_row_is_not_first_before_one_that_it_was_not_compared_with() {
        // Enough rounds of each with tokio, and four of both.
        let disturbed = [("mio", 0..4), ("smol", 6..10)];
        let summary = summary(&ROWS, &disturbed);
        let standing = standing(&summary);
        assert_eq!((names(&summary, &standing.leaders), standing.has_first), (vec!["mio"], false));
        let smol = standing.behind.iter().find(|behind| summary.groups[0].rows[behind.row].server == "smol");
        let better = smol.unwrap().pair.rows.1;
        assert_eq!(summary.groups[0].rows[better].server, "tokio");
    }
}
