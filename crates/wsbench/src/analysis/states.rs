//! Rows whose server is in one of two states, by chance: each state is shown and judged on its own.
//!
//! After a pause, a runtime may go on in another way than before, and stay in it. A median over both states is the cost of
//! neither. Whether a row has two states is decided by the cost of its single bursts, each relative to the baseline's in the
//! same block, so that slow phases of the machine do not look like states.

use bench_core::spec::Role;
use trial::{Edges, Sample, bursts::Burst, record::Record};

use super::{
    statistics::median,
    twin::{is_twin, row_of},
};

/// Distance of two groups' means in units of their spread (Ashman's D) from which on they are two states. The two halves of a
/// normal distribution have 2.7, those of a uniform one 3.5, and two clear heaps of equal width that do not overlap 5 and
/// more.
const LEAST_DISTANCE: f64 = 4.5;

/// Smallest share of the bursts that is a state and not a few outliers.
const LEAST_SHARE: f64 = 0.08;

/// Least bursts of each state.
const LEAST_BURSTS: usize = 4;

/// States that differ by less do not matter to anybody, and rounding makes such groups.
const LEAST_RATIO: f64 = 1.05;

/// Which of its two states a server is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Lower,
    Higher,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Lower => "lower",
            State::Higher => "higher",
        }
    }
}

/// Two states of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TwoStates {
    /// Relative cost from which on a burst is in the higher one.
    from: f64,
    /// Share of the bursts in the higher one.
    share_higher: f64,
}

/// The same trials, where every row with two states has become two rows: `smol/lower` and `smol/higher`. `None` where no row
/// has two.
pub(super) fn by_state(trials: &[&Record], baseline: &str) -> Option<Vec<Record>> {
    let role = trials.first()?.role;
    let name = |trial: &Record| role.own(&trial.server.row, &trial.client.row).clone();
    let mut rows: Vec<String> = trials.iter().map(|trial| name(trial)).collect();
    rows.sort();
    rows.dedup();
    let of_rows: Vec<(String, TwoStates)> = rows
        .into_iter()
        // The baseline is what states are told by, and the twin is compared with it.
        .filter(|row| row_of(row) != baseline && !is_twin(row))
        .filter_map(|row| {
            let own = trials.iter().filter(|trial| name(trial) == row);
            let costs: Vec<f64> =
                own.flat_map(|trial| relative_costs(trial, trials, baseline)).map(|(_, cost)| cost).collect();
            Some((row, two_states(&costs)?))
        })
        .collect();
    if of_rows.is_empty() {
        return None;
    }
    let split = |trial: &&Record| match of_rows.iter().find(|(row, _)| *row == name(trial)) {
        None => vec![(*trial).clone()],
        Some((_, states)) => {
            let costs = relative_costs(trial, trials, baseline);
            [State::Lower, State::Higher]
                .into_iter()
                .filter_map(|state| in_state(trial, &costs, *states, state))
                .collect()
        }
    };
    Some(trials.iter().flat_map(split).collect())
}

/// The bursts of a trial, each with its cost over the median cost of the baseline's bursts in the same block.
fn relative_costs(trial: &Record, trials: &[&Record], baseline: &str) -> Vec<(Burst, f64)> {
    let role = trial.role;
    let is_base = |other: &&&Record| {
        (&other.session, other.block) == (&trial.session, trial.block)
            && role.own(&other.server.row, &other.client.row) == baseline
    };
    let of_base: Vec<f64> = trials
        .iter()
        .find(is_base)
        .map(|base| base.bursts.iter().filter_map(|burst| cost(burst, role)).collect())
        .unwrap_or_default();
    if of_base.is_empty() || trial.error.is_some() {
        return Vec::new();
    }
    let base = median(&of_base);
    trial.bursts.iter().filter_map(|burst| Some((*burst, cost(burst, role)? / base))).collect()
}

/// CPU time per message of the compared end in a burst.
pub(crate) fn cost(burst: &Burst, role: Role) -> Option<f64> {
    let (before, after) =
        role.own(burst.server, burst.client).ready.zip(role.own(burst.server, burst.client).measured)?;
    let used = after.cpu_ns.saturating_sub(before.cpu_ns) as f64;
    (burst.measured.units > 0 && used > 0.0).then(|| used / burst.measured.units as f64)
}

/// Divides costs where their logarithms lie furthest apart (Otsu, 1979), and tells whether that makes two states.
fn two_states(costs: &[f64]) -> Option<TwoStates> {
    let mut logs: Vec<f64> = costs.iter().map(|cost| cost.ln()).collect();
    logs.sort_by(f64::total_cmp);
    let all = logs.len();
    let least = LEAST_BURSTS.max((all as f64 * LEAST_SHARE).ceil() as usize);
    if all < 2 * least {
        return None;
    }
    let between = |place: usize| {
        let (low, high) = logs.split_at(place);
        (mean(high) - mean(low)).powi(2) * (low.len() * high.len()) as f64
    };
    let place = (least..=all - least).max_by(|one, other| between(*one).total_cmp(&between(*other)))?;
    let (low, high) = logs.split_at(place);
    let distance = (mean(high) - mean(low)) / ((variance(low) + variance(high)) / 2.0).sqrt();
    let ratio = (median(high) - median(low)).exp();
    let from = f64::midpoint(low[place - 1], high[0]).exp();
    let is_clear = distance >= LEAST_DISTANCE && ratio >= LEAST_RATIO;
    is_clear.then(|| TwoStates { from, share_higher: high.len() as f64 / all as f64 })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
}

/// What a trial did in the bursts of one state; `None` where it has none of it.
fn in_state(trial: &Record, costs: &[(Burst, f64)], states: TwoStates, state: State) -> Option<Record> {
    let is_own = |cost: f64| (cost >= states.from) == (state == State::Higher);
    let bursts: Vec<Burst> =
        costs.iter().filter(|(_, cost)| is_own(*cost)).map(|(burst, _)| *burst).collect();
    if bursts.is_empty() {
        return None;
    }
    let mut record = trial.clone();
    let edges = |of: fn(&Burst) -> Edges<Sample>| Edges {
        ready: bursts.first().and_then(|burst| of(burst).ready),
        measured: bursts.last().and_then(|burst| of(burst).measured),
    };
    record.server_samples = edges(|burst| burst.server);
    for client in &mut record.clients {
        client.samples = edges(|burst| burst.client);
        if let Some(report) = &mut client.report {
            report.units = bursts.iter().map(|burst| burst.measured.units).sum();
            report.elapsed_ns = bursts.iter().map(|burst| burst.measured.elapsed_ns).sum();
            // The client kept the latencies of all bursts together: whose they are cannot be told any more.
            report.series.clear();
            report.slices.clear();
            report.counts = None;
        }
    }
    record.bursts = bursts;
    let share = match state {
        State::Lower => 1.0 - states.share_higher,
        State::Higher => states.share_higher,
    };
    let end = match record.role {
        Role::Server => &mut record.server,
        Role::Client => &mut record.client,
    };
    end.row = format!("{}/{}", end.row, state.name());
    let status = end.info.status.iter().cloned();
    let of_state = format!("the state of {:.0} % of its bursts", share * 100.0);
    end.info.status = Some(status.chain([of_state]).collect::<Vec<_>>().join("; "));
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence without a pattern, from 0 to 1.
    fn noise(count: usize) -> impl Iterator<Item = f64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        })
        .take(count)
    }

    /// Normally distributed, nearly: the sum of twelve.
    fn normal(count: usize) -> Vec<f64> {
        let all: Vec<f64> = noise(count * 12).collect();
        all.chunks(12).map(|twelve| twelve.iter().sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn one_heap_is_one_state_however_it_is_made() {
        let of = |costs: Vec<f64>| two_states(&costs);
        for count in [20, 50, 500] {
            assert_eq!(of(normal(count).iter().map(|x| (x * 0.05).exp()).collect()), None);
            assert_eq!(of(noise(count).map(|x| 1.0 + x).collect()), None);
            // With a tail.
            assert_eq!(of(noise(count).map(|x| 1.0 - 0.1 * (1.0 - x).ln()).collect()), None);
        }
        assert_eq!(of(vec![1.0; 50]), None);
        assert_eq!(of(Vec::new()), None);
    }

    #[test]
    fn two_heaps_are_two_states_with_their_shares() {
        let noisy = normal(50);
        let costs: Vec<f64> = noisy
            .iter()
            .enumerate()
            .map(|(place, x)| (x * 0.01).exp() * if place % 5 == 0 { 1.3 } else { 1.0 })
            .collect();
        let states = two_states(&costs).unwrap();
        assert!((states.share_higher - 0.2).abs() < 1e-9, "{states:?}");
        assert!(states.from > 1.05 && states.from < 1.25, "{states:?}");
        // Two outliers are not a state.
        let outliers: Vec<f64> = noisy
            .iter()
            .enumerate()
            .map(|(place, x)| (x * 0.01).exp() * if place < 2 { 1.3 } else { 1.0 })
            .collect();
        assert_eq!(two_states(&outliers), None);
    }
}
