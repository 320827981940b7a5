//! One of the two runs that are compared.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use trial::{
    mark::Mark,
    metric::{self, Metric},
    placement::Placement,
    record::{Record, Session},
};

use crate::{
    analysis::{alike::pools, results::Results, twin::is_twin},
    exit::{FAILED, Stop},
    run::select::natural,
};

/// A run, or several that are alike.
pub(super) struct Side {
    sessions: Vec<Session>,
    trials: Vec<Trial>,
}

/// A trial with its figures, which take a while to derive.
pub(super) struct Trial {
    pub(super) record: Record,
    figures: BTreeMap<&'static str, f64>,
}

impl Trial {
    fn new(record: Record) -> Trial {
        let figures = metric::figures(&record);
        Trial { record, figures }
    }

    /// The value of a metric, unless the trial failed or a mark withdraws it.
    pub(super) fn value(&self, metric: Metric) -> Option<f64> {
        let counts = !self.has_failed() && !self.is_marked(metric);
        self.figures.get(metric.name).copied().filter(|_| counts)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.record.error.is_some()
    }

    /// Whether a mark withdraws a metric.
    pub(super) fn is_marked(&self, metric: Metric) -> bool {
        self.spoiling(metric).next().is_some()
    }

    /// The marks that withdraw a metric. Where a trial ran is the same in both runs, or they are not compared.
    pub(super) fn spoiling(&self, metric: Metric) -> impl Iterator<Item = Mark> {
        let marks = self.record.marks.iter().copied();
        marks.filter(move |mark| mark.spoils(metric) && !mark.is_of_placement())
    }

    /// Its block, among those of all runs.
    pub(super) fn block(&self) -> (String, u32) {
        (self.record.session.clone(), self.record.block)
    }
}

/// A row of a scenario, and the one at the other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) row: String,
    pub(super) other: String,
}

impl Key {
    pub(super) fn of(Trial { record: trial, .. }: &Trial) -> Key {
        let (server, client) = (&trial.server.row, &trial.client.row);
        Key { row: trial.role.own(server, client).clone(), other: trial.role.other(server, client).clone() }
    }

    pub(super) fn is_of(&self, trial: &Trial) -> bool {
        Key::of(trial) == *self
    }
}

/// The trials of each scenario, placement and compared side.
fn by_name(trials: &[Record]) -> BTreeMap<(&str, Placement, &'static str), Vec<&Record>> {
    let mut by_name: BTreeMap<_, Vec<&Record>> = BTreeMap::new();
    for trial in trials {
        let side = trial.role.own("server", "client");
        by_name.entry((trial.scenario.name.as_str(), trial.placement, side)).or_default().push(trial);
    }
    by_name
}

/// Both sides with their names.
pub(super) fn both<'a>(base: &'a Side, new: &'a Side) -> [(&'a Side, &'static str); 2] {
    [(base, "BASE"), (new, "NEW")]
}

impl Side {
    /// Reads a file, or all result files of a folder.
    ///
    /// # Errors
    /// When one cannot be read, there is no trial, or runs of one scenario are not alike.
    pub(super) fn read(path: &Path) -> Result<Side, Stop> {
        let fail = |error: &dyn std::fmt::Display| Stop::usage(format!("{}: {error}", path.display()));
        let files = if path.is_dir() {
            let entries = path.read_dir().map_err(|error| fail(&error))?;
            let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "ndjson"));
            files.sort();
            files
        } else {
            vec![path.to_owned()]
        };
        let results = Results::read(&files);
        if let Some(problem) = results.problems.first() {
            return Err(Stop { code: FAILED, message: problem.clone() });
        }
        if results.trials.is_empty() {
            return Err(fail(&"no trials"));
        }
        for trials in by_name(&results.trials).values() {
            if let [one, other, ..] = &pools(trials, &results)[..] {
                return Err(fail(&format!(
                    "holds runs of {} that are not alike ({}; {}): give the files of one of them",
                    trials[0].scenario.name,
                    one.apart.join(", "),
                    other.apart.join(", ")
                )));
            }
        }
        let trials = results.trials.into_iter().map(Trial::new).collect();
        Ok(Side { sessions: results.sessions, trials })
    }

    /// A run of these trials.
    #[cfg(test)]
    pub(super) fn of_records(records: Vec<Record>) -> Side {
        Side { sessions: Vec::new(), trials: records.into_iter().map(Trial::new).collect() }
    }

    /// All trials, failed ones included.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.trials.iter().map(|trial| &trial.record)
    }

    /// Whether system calls were counted while the figures were taken.
    pub(super) fn counts(&self) -> bool {
        self.sessions.iter().any(|session| session.counts)
    }

    /// Names of the scenarios.
    pub(super) fn scenarios(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.records().map(|trial| trial.scenario.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.sort_by(|one, other| natural(one).cmp(&natural(other)));
        names
    }

    /// The trials of a scenario.
    pub(super) fn of(&self, scenario: &str) -> Vec<&Trial> {
        self.trials.iter().filter(|trial| trial.record.scenario.name == scenario).collect()
    }

    /// The rows of a scenario, without the second measurement of the baseline.
    pub(super) fn rows(&self, scenario: &str) -> Vec<Key> {
        let mut keys: Vec<Key> = self.of(scenario).into_iter().map(Key::of).collect();
        keys.retain(|key| !is_twin(&key.row) && !is_twin(&key.other));
        keys.sort();
        keys.dedup();
        keys
    }
}
