//! What lies behind the medians: each round's figures, and all rounds' histograms merged.

use std::collections::BTreeMap;

use bench_core::spec::Workload;
use hdrhistogram::Histogram;
use histogram::Series;
use trial::{
    metric::{self, Metric},
    record::Record,
};

use crate::analysis::{group::Group, results::Results};

/// The trials of one group, block by block.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Names of the blocks in order: run and round.
    pub(crate) blocks: Vec<(String, u32)>,
    rows: BTreeMap<(String, String), Row>,
}

#[derive(Default)]
struct Row {
    figures: BTreeMap<u32, BTreeMap<&'static str, f64>>,
    merged: BTreeMap<Series, Merged>,
}

/// The samples of all rounds together.
pub(crate) struct Merged {
    pub(crate) histogram: Histogram<u64>,
    pub(crate) max_ns: u64,
}

impl Rounds {
    /// The trials of `group`; none where it was not measured itself, as the slope of memory.
    pub(crate) fn of(group: &Group, results: &Results) -> Rounds {
        let mut rounds = Rounds::default();
        let mut places: BTreeMap<(&str, u32), u32> = BTreeMap::new();
        let is_own = |trial: &&Record| {
            let same = (&trial.scenario, trial.placement, trial.role);
            same == (&group.scenario, group.placement, group.role) && group.sessions.contains(&trial.session)
        };
        for trial in results.trials.iter().filter(is_own) {
            let place = *places.entry((&trial.session, trial.block)).or_insert_with(|| {
                rounds.blocks.push((trial.session.clone(), trial.round));
                rounds.blocks.len() as u32 - 1
            });
            if trial.error.is_some() {
                continue;
            }
            let row = rounds.rows.entry((trial.server.row.clone(), trial.client.row.clone())).or_default();
            row.figures.insert(place, metric::figures(trial));
            for (series, distribution) in trial.report().into_iter().flat_map(|report| &report.series) {
                let Ok(histogram) = distribution.histogram() else { continue };
                match row.merged.get_mut(series) {
                    None => {
                        row.merged.insert(*series, Merged { histogram, max_ns: distribution.max_ns });
                    }
                    Some(merged) => {
                        // Only the histograms of another program could have other bounds.
                        if merged.histogram.add(&histogram).is_ok() {
                            merged.max_ns = merged.max_ns.max(distribution.max_ns);
                        }
                    }
                }
            }
        }
        rounds
    }

    /// A row's values of a metric, one for each block.
    pub(crate) fn values(&self, (server, client): (&str, &str), metric: Metric) -> Vec<Option<f64>> {
        let row = self.rows.get(&(server.to_owned(), client.to_owned()));
        let value = |place| row.and_then(|row| row.figures.get(&place)?.get(metric.name).copied());
        (0..self.blocks.len() as u32).map(value).collect()
    }

    /// All samples of a row's distribution.
    pub(crate) fn merged(&self, (server, client): (&str, &str), series: Series) -> Option<&Merged> {
        self.rows.get(&(server.to_owned(), client.to_owned()))?.merged.get(&series)
    }
}

/// The distribution that a group's workload is about, with what it is and its name in short; `None` where no row has it.
pub(crate) fn latency(group: &Group, rounds: &Rounds) -> Option<(Series, &'static str, &'static str)> {
    let lag = (Series::PushLag, "lag of a message behind its due instant", "lag");
    let candidates = match group.scenario.load.workload() {
        Workload::Paced => vec![(Series::FromIntended, "latency from the intended instant", "latency")],
        Workload::Connect => {
            vec![(Series::ConnectToFirstPush, "time from the connect to the first message", "first message")]
        }
        Workload::Broadcast => {
            vec![(Series::Delivery, "time from the intended instant to a subscriber", "delivery")]
        }
        _ => vec![lag, (Series::RoundTrip, "round trip", "round trip")],
    };
    let has =
        |series| group.rows.iter().any(|row| rounds.merged((&row.server, &row.client), series).is_some());
    candidates.into_iter().find(|(series, _, _)| has(*series))
}

impl Merged {
    /// The value at a quantile, where there are samples enough to state it.
    pub(crate) fn quantile_ns(&self, q: f64) -> Option<u64> {
        let needed = (10.0 / (1.0 - q) - 1e-6).ceil() as u64;
        (self.histogram.len() >= needed).then(|| self.histogram.value_at_quantile(q).min(self.max_ns))
    }
}
