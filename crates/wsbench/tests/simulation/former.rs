//! The rule that verdicts followed before, for the comparison of its power: "steady blocks" by a control, the signed-rank
//! test of these or the sign test of all blocks, Holm's correction, and the far end of the twin's interval as the floor.
//!
//! Its blocks were chosen around the median of a control that is nearly the judged figure, so its intervals are too narrow.

use statrs::distribution::{Binomial, DiscreteCDF};
use wsbench::analysis::{inference::rounds_needed, statistics::median, verdict::Verdict};

use crate::noise::{Table, Trials};

const STEADY: f64 = 0.03;
const LEAST_FLOOR: f64 = 0.001;

/// Log ratios, and whether they are of steady blocks.
struct Ratios {
    logs: Vec<f64>,
    steady: bool,
}

impl Ratios {
    fn new(row: &Trials, base: &Trials, needed: usize) -> Ratios {
        let log = |one: f64, other: f64| (one / other).ln();
        let pairs: Vec<(f64, f64)> = row
            .iter()
            .map(|(block, own)| {
                let base = base[block];
                (log(own.server, base.server), log(own.client, base.client))
            })
            .collect();
        let usual = median(&pairs.iter().map(|(_, control)| *control).collect::<Vec<_>>());
        let kept = pairs.iter().filter(|(_, control)| (control - usual).abs() <= STEADY);
        let logs: Vec<f64> = kept.map(|(log, _)| *log).collect();
        match logs.len() >= needed {
            true => Ratios { logs, steady: true },
            false => Ratios { logs: pairs.iter().map(|(log, _)| *log).collect(), steady: false },
        }
    }

    /// The probability of each value of the test's statistic, added up.
    fn at_most(&self) -> Vec<f64> {
        let count = self.logs.len();
        if !self.steady {
            let heads = Binomial::new(0.5, count as u64).expect("one half is a probability");
            return (0..=count).map(|heads_up| heads.cdf(heads_up as u64)).collect();
        }
        let mut chances = vec![0.0; count * (count + 1) / 2 + 1];
        chances[0] = 1.0;
        for rank in 1..=count {
            for sum in (0..chances.len()).rev() {
                let with = if sum >= rank { chances[sum - rank] } else { 0.0 };
                chances[sum] = f64::midpoint(chances[sum], with);
            }
        }
        let mut sum = 0.0;
        chances
            .iter()
            .map(|chance| {
                sum += chance;
                f64::min(sum, 1.0)
            })
            .collect()
    }

    fn p_value(&self) -> f64 {
        let above = |logs: &[f64]| logs.iter().filter(|log| **log > 0.0).count();
        let statistic = if self.steady {
            let mut sorted = self.logs.clone();
            sorted.sort_by(|one, other| one.abs().total_cmp(&other.abs()));
            (1..).zip(&sorted).filter(|(_, log)| **log > 0.0).map(|(rank, _)| rank).sum()
        } else {
            above(&self.logs)
        };
        let at_most = self.at_most();
        let tail = statistic.min(at_most.len() - 1 - statistic);
        (2.0 * at_most[tail]).min(1.0)
    }

    fn interval(&self, level: f64) -> Option<(f64, f64)> {
        let logs = &self.logs;
        let mut points: Vec<f64> = if self.steady {
            (0..logs.len())
                .flat_map(|one| (one..logs.len()).map(move |other| f64::midpoint(logs[one], logs[other])))
                .collect()
        } else {
            logs.clone()
        };
        points.sort_by(f64::total_cmp);
        let at_most = self.at_most();
        let cut = (0..points.len() / 2).take_while(|cut| at_most[*cut] <= level / 2.0 + 1e-12).last()?;
        Some((points[cut], points[points.len() - 1 - cut]))
    }
}

/// What the former rule says of each row but the first, which is the baseline.
pub fn judge(sample: &Table, confidence: f64) -> Vec<Verdict> {
    let rows = sample.rows.len() - 1;
    let needed = rounds_needed(rows, confidence).max(rounds_needed(1, confidence));
    let base = &sample.rows[0];
    let twin = Ratios::new(&sample.twin, base, rounds_needed(1, confidence));
    let mut verdicts = vec![Verdict::Tie; rows];
    let Some((low, high)) = twin.interval(1.0 - confidence) else { return verdicts };
    let floor = low.abs().max(high.abs()).max(LEAST_FLOOR);
    let ratios: Vec<Ratios> = sample.rows[1..].iter().map(|row| Ratios::new(row, base, needed)).collect();
    let p_values: Vec<f64> = ratios.iter().map(Ratios::p_value).collect();
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by(|one, other| p_values[*one].total_cmp(&p_values[*other]));
    for (step, place) in order.into_iter().enumerate() {
        let level = (1.0 - confidence) / (rows - step) as f64;
        if p_values[place] > level {
            break;
        }
        verdicts[place] = match ratios[place].interval(level) {
            Some((low, _)) if low > floor => Verdict::Greater,
            Some((_, high)) if high < -floor => Verdict::Less,
            _ => Verdict::Tie,
        };
    }
    verdicts
}
