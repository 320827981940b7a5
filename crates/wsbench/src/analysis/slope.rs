//! What an open connection costs: the slope of the server's memory over the number of idle connections.

use std::collections::{BTreeMap, BTreeSet};

use bench_core::spec::{Idle, Role, SocketSpec, Work, Workload};
use statrs::distribution::{ContinuousCDF, StudentsT};
use trial::{
    catalogue::Scenario,
    metric::{self, figures},
    placement::Placement,
    record::Record,
};

use crate::analysis::{
    alike::{Pool, pools_of_several},
    group::{Figure, Group, RowFigures, sort},
    measured::take_twin,
    results::Results,
    twin::row_of,
};

/// What is measured at several numbers of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Setting {
    placement: Placement,
    role: Role,
    read_buffer_bytes: u64,
    send_buffer_bytes: Option<u64>,
    tls: bool,
    kind: Kind,
}

/// A kind of idle connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Untouched,
    /// After one echo each.
    Touched,
}

/// One pair of rows in one round of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    session: &'a str,
    round: u32,
    server: &'a str,
    client: &'a str,
}

/// Numbers of connections, each with the server's memory.
type Points = Vec<(f64, f64)>;

/// A group for each placement, compared side, read buffer and kind of idle connection that was measured at several
/// numbers.
pub(crate) fn groups(results: &Results, confidence: f64) -> Vec<Group> {
    let idle = |trial: &&Record| trial.error.is_none() && trial.scenario.load.workload() == Workload::Idle;
    let mut by_setting: BTreeMap<Setting, Vec<&Record>> = BTreeMap::new();
    for trial in results.trials.iter().filter(idle) {
        let load = &trial.scenario.load;
        for kind in [Kind::Untouched, Kind::Touched] {
            // A server without a connection is where both kinds are counted from.
            let touched = matches!(load.work, Work::Idle(Idle { touch: true }));
            if touched == (kind == Kind::Touched) || load.connections == 0 {
                let setting = Setting {
                    placement: trial.placement,
                    role: trial.role,
                    read_buffer_bytes: trial.scenario.socket.read_buffer_bytes,
                    send_buffer_bytes: trial.scenario.socket.send_buffer_bytes,
                    tls: trial.scenario.socket.tls,
                    kind,
                };
                by_setting.entry(setting).or_default().push(trial);
            }
        }
    }
    let of_setting = |(setting, trials): (Setting, Vec<&Record>)| -> Vec<Group> {
        let pools = pools_of_several(&trials, results).into_iter();
        pools.filter_map(|pool| group(pool, setting.kind, confidence)).collect()
    };
    by_setting.into_iter().flat_map(of_setting).collect()
}

fn group(pool: Pool<'_>, kind: Kind, confidence: f64) -> Option<Group> {
    let sessions = pool.sessions();
    let Pool { trials, baseline, apart, .. } = pool;
    let first = trials[0];
    let mut rows = rows(&trials, baseline, confidence);
    let twin = take_twin(&mut rows, baseline, first.role);
    sort(&mut rows, metric::SERVER_RSS_PER_CONNECTION);
    if rows.is_empty() {
        return None;
    }
    let rounds: BTreeSet<(&str, u32)> =
        trials.iter().map(|trial| (trial.session.as_str(), trial.round)).collect();
    Some(Group {
        scenario: scenario(&trials, kind),
        apart,
        sessions,
        placement: first.placement,
        cores: first.cores.clone(),
        role: first.role,
        ranking: metric::SERVER_RSS_PER_CONNECTION,
        judged: Vec::new(),
        columns: vec![metric::RSS_SLOPE_LOW, metric::RSS_SLOPE_HIGH],
        baseline: baseline.to_owned(),
        rounds: rounds.len(),
        seeds: trials.iter().map(|trial| trial.seed).collect(),
        rows,
        twin,
    })
}

/// The scenarios that the slope is drawn through, as one.
fn scenario(trials: &[&Record], kind: Kind) -> Scenario {
    let numbers: BTreeSet<u32> = trials.iter().map(|trial| trial.scenario.load.connections).collect();
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    let mut scenario = trials[0].scenario.clone();
    let buffer = match scenario.socket.read_buffer_bytes {
        bytes if bytes == SocketSpec::default().read_buffer_bytes => String::new(),
        bytes => format!("-rb{}k", bytes / 1024),
    };
    let (suffix, what) = match kind {
        Kind::Untouched => ("", "idle connections"),
        Kind::Touched => ("-touched", "idle connections after one echo each"),
    };
    let sent = match scenario.socket.send_buffer_bytes {
        None => String::new(),
        Some(bytes) => format!("-sb{}k", bytes / 1024),
    };
    let tls = if scenario.socket.tls { "tls-" } else { "" };
    scenario.name = format!("{tls}idle{suffix}{buffer}{sent}");
    scenario.about = format!("Memory of an open connection: slope over {} {what}", numbers.join(", "));
    scenario
}

/// The rows with a slope in some round.
fn rows(trials: &[&Record], baseline: &str, confidence: f64) -> Vec<RowFigures> {
    let mut points: BTreeMap<Key<'_>, Points> = BTreeMap::new();
    for trial in trials {
        let key = Key {
            session: &trial.session,
            round: trial.round,
            server: &trial.server.row,
            client: &trial.client.row,
        };
        if let Some(memory) = figures(trial).get(metric::SERVER_RSS.name) {
            points.entry(key).or_default().push((f64::from(trial.scenario.load.connections), *memory));
        }
    }
    let slopes: BTreeMap<Key<'_>, f64> =
        points.iter().filter_map(|(key, points)| Some((*key, slope(points)?))).collect();
    let pairs: BTreeSet<(&str, &str)> = slopes.keys().map(|key| (key.server, key.client)).collect();
    let row = |(server, client): (&str, &str)| {
        let of_row = trials.iter().find(|trial| trial.server.row == server);
        RowFigures {
            server: server.to_owned(),
            client: client.to_owned(),
            status: of_row.and_then(|trial| trial.server.info.remark()),
            workers: of_row.map_or(1, |trial| trial.server.workers),
            marks: BTreeMap::new(),
            failed: 0,
            judged: BTreeMap::new(),
            figures: row_figures((server, client), &points, &slopes, baseline, confidence),
        }
    };
    pairs.into_iter().map(row).collect()
}

/// A row's slope over all rounds, and the interval of it.
fn row_figures(
    (server, client): (&str, &str),
    points: &BTreeMap<Key<'_>, Points>,
    slopes: &BTreeMap<Key<'_>, f64>,
    baseline: &str,
    confidence: f64,
) -> BTreeMap<&'static str, Figure> {
    let is_own = |key: &Key<'_>| (key.server, key.client) == (server, client);
    let (mut values, mut ratios) = (Vec::new(), Vec::new());
    for (key, value) in slopes.iter().filter(|(key, _)| is_own(key)) {
        values.push(*value);
        let base = [(baseline, row_of(client)), (baseline, baseline)]
            .into_iter()
            .find_map(|(server, client)| slopes.get(&Key { server, client, ..*key }));
        if let Some(base) = base.filter(|base| server != baseline && **base > 0.0 && *value > 0.0) {
            ratios.push(value / base);
        }
    }
    let own = points.iter().filter(|(key, _)| is_own(key));
    let all: Points = own.flat_map(|(_, points)| points.iter().copied()).collect();
    let bounds = interval(&all, confidence)
        .into_iter()
        .flat_map(|(low, high)| [(metric::RSS_SLOPE_LOW, low), (metric::RSS_SLOPE_HIGH, high)])
        .map(|(metric, value)| (metric.name, Figure::new(&[value], &[], confidence)));
    let slope = Figure::new(&values, &ratios, confidence);
    bounds.chain([(metric::SERVER_RSS_PER_CONNECTION.name, slope)]).collect()
}

/// Least-squares slope; `None` where all points have the same x.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let together: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (spread > 0.0).then(|| together / spread)
}

/// An interval of the slope over the points of all rounds, with this confidence: of the least-squares line, with
/// normally distributed deviations from it. `None` where there are too few points to deviate.
fn interval(points: &[(f64, f64)], confidence: f64) -> Option<(f64, f64)> {
    let freedom = points.len().checked_sub(2).filter(|freedom| *freedom > 0)? as f64;
    let slope = slope(points)?;
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let deviation: f64 = points.iter().map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    let reach = student.inverse_cdf((1.0 + confidence) / 2.0) * (deviation / freedom / spread).sqrt();
    Some((slope - reach, slope + reach))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::results::tests::{session, trial};

    /// A trial of an idle server with so many connections and so much memory.
    fn idle(server: &str, block: u32, connections: u32, memory: u64) -> Record {
        let mut record = trial(server, block, 0, 1);
        record.round = 0;
        record.clients[0].report.as_mut().unwrap().units = 0;
        record.scenario.load.work = Work::Idle(Idle { touch: false });
        record.scenario.load.connections = connections;
        record.server_samples.measured.as_mut().unwrap().rss_bytes = memory;
        record
    }

    #[test]
    fn the_slope_is_that_of_the_memory_over_the_connections() {
        let trials =
            [("tokio", 20_000), ("smol", 30_000), ("tokio#aa", 20_000)].iter().flat_map(|(row, each)| {
                [0, 1_000, 5_000].map(|connections| {
                    idle(row, connections, connections, 4_000_000 + u64::from(connections) * each)
                })
            });
        let results = Results { sessions: vec![session()], trials: trials.collect(), ..Results::default() };
        let groups = groups(&results, 0.95);
        let [group] = &groups[..] else { panic!("one group") };
        assert_eq!(group.scenario.name, "idle");
        let low = group.rows[0].figures["server_rss_per_connection_low"].median;
        assert!((low - 20_000.0).abs() < 1e-3, "{low}");
        assert!(group.scenario.about.contains("0, 1000, 5000"));
        let slopes: Vec<(&str, f64)> = group
            .rows
            .iter()
            .map(|row| (row.server.as_str(), row.figures["server_rss_per_connection"].median.round()))
            .collect();
        assert_eq!(slopes, [("tokio", 20_000.0), ("smol", 30_000.0)]);
        let ratio = group.rows[1].figures["server_rss_per_connection"].ratio.unwrap();
        assert!((ratio.median - 1.5).abs() < 1e-9);
        assert!(group.twin.is_some());
    }

    #[test]
    fn one_number_of_connections_has_no_slope() {
        let results = Results { trials: vec![idle("tokio", 0, 1_000, 1)], ..Results::default() };
        assert!(groups(&results, 0.95).is_empty());
        assert_eq!(slope(&[(1.0, 2.0)]), None);
    }

    #[test]
    fn touched_connections_have_a_slope_of_their_own_from_the_same_start() {
        let trials =
            [(0, false, 0), (1_000, false, 1), (1_000, true, 2)].map(|(connections, touch, block)| {
                let each = if touch { 30_000 } else { 20_000 };
                let mut record = idle("tokio", block, connections, 1_000 + u64::from(connections) * each);
                record.scenario.load.work = Work::Idle(Idle { touch });
                record
            });
        let results = Results { trials: trials.into(), ..Results::default() };
        let slopes: Vec<(String, f64)> = groups(&results, 0.95)
            .iter()
            .map(|group| {
                let figure = group.rows[0].figures["server_rss_per_connection"];
                (group.scenario.name.clone(), figure.median.round())
            })
            .collect();
        assert_eq!(slopes, [("idle".to_owned(), 20_000.0), ("idle-touched".to_owned(), 30_000.0)]);
    }

    #[test]
    fn the_interval_of_a_slope_is_that_of_the_least_squares_line() {
        // By hand: slope 1.1, residual variance 0.7 / 2, spread 5, t(0.975, 2) = 4.302653.
        let points = [(1.0, 2.0), (2.0, 2.0), (3.0, 4.0), (4.0, 5.0)];
        let (low, high) = interval(&points, 0.95).unwrap();
        assert!((low - -0.038).abs() < 1e-2 && (high - 2.238).abs() < 1e-2, "{low} {high}");
        assert_eq!(interval(&points[..2], 0.95), None);
    }
}
