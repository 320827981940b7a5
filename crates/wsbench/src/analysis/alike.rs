//! Which trials are alike: only those are pooled into one table.
//!
//! A figure over several runs means something only where the runs measured the same thing in the same way. Machines are not
//! looked at here: a ratio is formed inside a block, on one machine, and a table of several machines says so.

use std::collections::{BTreeMap, BTreeSet};

use bench_core::{row::BuildInfo, spec::Role};
use serde::Serialize;
use serde_json::Value;
use trial::{
    catalogue::Scenario,
    placement::Cores,
    record::{End, Record, Session},
};

use super::{
    planned::compared,
    results::Results,
    twin::{is_twin, row_of},
};

/// Trials that are alike.
pub(crate) struct Pool<'a> {
    /// The trials, of which there is at least one.
    pub(crate) trials: Vec<&'a Record>,
    /// The row that the others are compared with.
    pub(crate) baseline: &'a str,
    /// What tells this pool from the others of the same scenario, in words; empty where it is the only one.
    pub(crate) apart: Vec<String>,
    /// Whether it is of a server that one client drove, and not of a run.
    pub(crate) is_driven: bool,
}

impl Pool<'_> {
    /// The runs that the trials are of.
    pub(crate) fn sessions(&self) -> BTreeSet<String> {
        self.trials.iter().map(|trial| trial.session.clone()).collect()
    }
}

/// Divides trials of one scenario, placement and compared side into those that are alike, in the order of their runs.
pub(crate) fn pools<'a>(trials: &[&'a Record], results: &'a Results) -> Vec<Pool<'a>> {
    divide(trials, results, |trial| Some(&trial.scenario))
}

/// Divides trials of several scenarios that give one figure together, such as a slope.
pub(crate) fn pools_of_several<'a>(trials: &[&'a Record], results: &'a Results) -> Vec<Pool<'a>> {
    divide(trials, results, |_| None)
}

fn divide<'a>(
    trials: &[&'a Record],
    results: &'a Results,
    scenario_of: impl Fn(&'a Record) -> Option<&'a Scenario>,
) -> Vec<Pool<'a>> {
    let mut of_runs: Vec<(&'a str, Option<&'a Scenario>, Vec<&'a Record>)> = Vec::new();
    for trial in trials.iter().copied() {
        let (run, scenario) = (trial.session.as_str(), scenario_of(trial));
        match of_runs.iter_mut().find(|(known, settings, _)| *known == run && *settings == scenario) {
            Some((_, _, own)) => own.push(trial),
            None => of_runs.push((run, scenario, vec![trial])),
        }
    }
    let mut pools: Vec<(Conditions<'a>, Vec<&'a Record>)> = Vec::new();
    for (run, scenario, trials) in of_runs {
        let session = results.sessions.iter().find(|session| session.session == run);
        let conditions = Conditions::new(&trials, session, scenario);
        match pools.iter_mut().find(|(known, _)| known.is_like(&conditions)) {
            Some((known, pooled)) => {
                // What one run did not hold is known from the other.
                conditions.rows.into_iter().for_each(|(row, ends)| {
                    known.rows.entry(row).or_insert(ends);
                });
                pooled.extend(trials);
            }
            None => pools.push((conditions, trials)),
        }
    }
    let all: Vec<Conditions<'a>> = pools.iter().map(|(conditions, _)| conditions.clone()).collect();
    let pool = |(place, (conditions, trials)): (usize, (Conditions<'a>, Vec<&'a Record>))| {
        let others = all.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, other)| other);
        let apart = conditions.differences(others);
        Pool { trials, baseline: conditions.baseline, apart, is_driven: conditions.is_driven }
    };
    pools.into_iter().enumerate().map(pool).collect()
}

/// How the trials of one run were measured.
#[derive(Clone, Debug)]
struct Conditions<'a> {
    scenario: Option<&'a Scenario>,
    role: Role,
    baseline: &'a str,
    build: &'a BuildInfo,
    counts: bool,
    is_driven: bool,
    rows: BTreeMap<&'a str, Ends<'a>>,
}

/// What one row was measured with.
#[derive(Clone, Debug, PartialEq)]
struct Ends<'a> {
    /// Rows at the other end.
    others: BTreeSet<&'a str>,
    /// Worker threads of the row.
    workers: u32,
    cores: &'a Cores,
    program: Made<'a>,
}

/// What a row's program was made from. A row may be of another build than wsbench: `tokio@OTHER`.
#[derive(Clone, Debug, PartialEq)]
enum Made<'a> {
    From(&'a BuildInfo),
    /// It does not say, or from a work tree that had changes: the checksum of the program tells it from others.
    Somehow {
        sha256: &'a str,
    },
}

impl<'a> Made<'a> {
    fn of(end: &'a End) -> Made<'a> {
        match &end.info.build {
            Some(build) if !build.dirty => Made::From(build),
            _ => Made::Somehow { sha256: &end.binary_sha256 },
        }
    }

    /// A few digits that tell it from others.
    fn digits(&self) -> String {
        let all = match self {
            Made::From(build) => &build.commit,
            Made::Somehow { sha256 } => *sha256,
        };
        all.chars().take(DIGITS).collect()
    }
}

/// Hexadecimal digits that are shown of a commit or a checksum.
const DIGITS: usize = 10;

impl<'a> Conditions<'a> {
    fn new(
        trials: &[&'a Record],
        session: Option<&'a Session>,
        scenario: Option<&'a Scenario>,
    ) -> Conditions<'a> {
        let first = trials[0];
        // Without the line of its run, the row that was measured twice is the baseline.
        let twice = || trials.iter().map(|trial| own(trial)).find(|name| is_twin(name));
        let mut rows: BTreeMap<&str, Ends<'_>> = BTreeMap::new();
        for trial in trials {
            let end = trial.role.own(&trial.server, &trial.client);
            let ends = rows.entry(row_of(own(trial))).or_insert_with(|| Ends {
                others: BTreeSet::new(),
                workers: end.workers,
                cores: &trial.cores,
                program: Made::of(end),
            });
            ends.others.insert(row_of(trial.role.other(&trial.server.row, &trial.client.row)));
        }
        // A run that was interrupted was going to measure all of them.
        for pair in session.iter().flat_map(|session| &session.pairs) {
            if let Some(ends) = rows.get_mut(row_of(compared(pair, first.role))) {
                ends.others.insert(row_of(first.role.other(&pair.server, &pair.client)));
            }
        }
        Conditions {
            scenario,
            role: first.role,
            baseline: session
                .map_or_else(|| twice().map_or(own(first), row_of), |session| session.baseline.as_str()),
            build: session.map_or(&first.build, |session| &session.build),
            counts: session.is_some_and(|session| session.counts),
            is_driven: session.is_some_and(|session| session.target.is_some()),
            rows,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.scenario == other.scenario
            && self.baseline == other.baseline
            && self.build.is_same_as(other.build)
            && self.counts == other.counts
            && self.rows.iter().all(|(row, ends)| other.rows.get(row).is_none_or(|others| ends == others))
    }

    /// What differs from any of the others, in words.
    fn differences<'b>(&self, others: impl Iterator<Item = &'b Conditions<'b>> + Clone) -> Vec<String> {
        let mut words = Vec::new();
        let any = |differs: &dyn Fn(&Conditions<'_>) -> bool| others.clone().any(differs);
        if any(&|other| other.baseline != self.baseline) {
            words.push(format!("baseline {}", self.baseline));
        }
        // One row stands for all that differ in the same way.
        let row = |differs: fn(&Ends<'_>, &Ends<'_>) -> bool| {
            self.rows.iter().find(|(row, ends)| {
                others.clone().filter_map(|other| other.rows.get(*row)).any(|other| differs(ends, other))
            })
        };
        words.extend(
            row(|one, other| one.workers != other.workers)
                .map(|(row, ends)| format!("{row} ×{}", ends.workers)),
        );
        words.extend(row(|one, other| one.others != other.others).map(|(_, ends)| {
            let others: Vec<&str> = ends.others.iter().copied().collect();
            format!("{} {}", self.role.own("client", "server"), others.join(", "))
        }));
        words.extend(row(|one, other| one.cores != other.cores).map(|(_, ends)| on(ends.cores)));
        let build = differing(self.build, others.clone().map(|other| other.build));
        // Where wsbench is of another build, its rows are as well.
        let other_program = build.is_empty().then(|| row(|one, other| one.program != other.program));
        words
            .extend(other_program.flatten().map(|(row, ends)| format!("{row} of {}", ends.program.digits())));
        if any(&|other| other.counts != self.counts) {
            words.push(if self.counts { "calls counted" } else { "calls not counted" }.to_owned());
        }
        words.extend(build);
        if let Some(scenario) = self.scenario {
            words.extend(differing(scenario, others.filter_map(|other| other.scenario)));
        }
        words
    }
}

/// The row that a trial is about.
fn own(trial: &Record) -> &str {
    trial.role.own(&trial.server.row, &trial.client.row)
}

/// Where the processes of a trial ran, in words.
pub(crate) fn on(cores: &Cores) -> String {
    let list = |cores: &[u32]| cores.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    match (&cores.server[..], &cores.client[..]) {
        ([], []) => "not pinned".to_owned(),
        (server, client) if server == client => format!("on core {}", list(server)),
        (server, client) => format!("on cores {} and {}", list(server), list(client)),
    }
}

/// The fields of a value that some of the others have otherwise, with what it has: `commit 9fdda1a36d`.
pub(crate) fn differing<'b, T: Serialize + 'b>(
    value: &T,
    others: impl Iterator<Item = &'b T>,
) -> Vec<String> {
    /// As much of a value as tells it from another one.
    const SHOWN: usize = 40;
    let own = fields(value);
    let others: Vec<BTreeMap<String, Value>> = others.map(fields).collect();
    let differs = |name: &String, value: &Value| others.iter().any(|other| other.get(name) != Some(value));
    let text = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let is_hash = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.chars().take(if is_hash { DIGITS } else { SHOWN }).collect::<String>()
    };
    own.iter()
        .filter(|(name, value)| differs(name, value))
        .map(|(name, value)| match text(value) {
            // Such as the version line of a compiler.
            text if text.starts_with(name.as_str()) => text,
            text => format!("{name} {text}"),
        })
        .collect()
}

/// The fields of a value and of the values in it, by their own names.
fn fields(value: &impl Serialize) -> BTreeMap<String, Value> {
    fn collect(value: Value, name: &str, fields: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(inner) => {
                inner.into_iter().for_each(|(name, value)| collect(value, &name, fields));
            }
            leaf => {
                fields.insert(name.to_owned(), leaf);
            }
        }
    }
    let mut fields = BTreeMap::new();
    collect(serde_json::to_value(value).unwrap_or_default(), "", &mut fields);
    fields
}

#[cfg(test)]
mod tests {
    use trial::{metric, record::Pair};

    use super::*;
    use crate::analysis::{
        results::tests::{session, trial},
        summary::Summary,
        verdict::Verdict,
    };

    /// A run of a baseline, its second measurement and another row that costs half as much again.
    fn run(name: &str, baseline: &str, other: &str) -> Results {
        let pair = |server: &str| Pair { server: server.to_owned(), client: "tokio".to_owned() };
        let twin = format!("{baseline}#aa");
        let session = Session {
            session: name.to_owned(),
            baseline: baseline.to_owned(),
            rounds: 8,
            pairs: [baseline, other, &twin].map(pair).into(),
            ..session()
        };
        let of = |block: u32, (order, row, cost): (u32, &str, u64)| {
            let mut record = trial(row, block, order, cost + u64::from(block));
            record.session = name.to_owned();
            record
        };
        let rows = [(0, baseline, 5_000_000), (1, other, 7_500_000), (2, twin.as_str(), 5_000_000)];
        let trials = (0..8).flat_map(|block| rows.map(|row| of(block, row))).collect();
        Results { sessions: vec![session], trials, ..Results::default() }
    }

    fn together(mut one: Results, other: Results) -> Summary {
        one.sessions.extend(other.sessions);
        one.trials.extend(other.trials);
        Summary::new(&one, 0.95)
    }

    fn names(summary: &Summary) -> Vec<String> {
        summary.groups.iter().map(|group| group.name()).collect()
    }

    #[test]
    fn runs_that_are_alike_are_pooled() {
        let summary = together(run("a", "tokio", "smol"), run("b", "tokio", "async-std"));
        let [group] = &summary.groups[..] else { panic!("{:?}", names(&summary)) };
        assert_eq!((group.name().as_str(), group.rounds, group.rows.len()), ("rtt-24", 16, 3));
    }

    #[test]
    fn runs_with_two_baselines_stand_apart_each_with_its_own_twin() {
        let summary = together(run("a", "tokio", "smol"), run("b", "smol", "tokio"));
        assert_eq!(names(&summary), ["rtt-24 (baseline tokio)", "rtt-24 (baseline smol)"]);
        for group in &summary.groups {
            assert_eq!(
                group.twin.as_ref().map(|twin| twin.server.clone()),
                Some(format!("{}#aa", group.baseline))
            );
            assert_eq!(group.rows.len(), 2);
            let other = group.rows.iter().find(|row| row.server != group.baseline).unwrap();
            let verdict = other.judged_by(metric::SERVER_CPU).map(|judged| judged.verdict);
            assert_eq!(verdict, Some(Verdict::Greater));
        }
    }

    #[test]
    fn what_was_measured_in_another_way_stands_apart_and_says_so() {
        type Change = fn(&mut Session, &mut Record);
        let cases: [(&str, Change); 8] = [
            ("smol of eeeeeeeeee", |_, trial| {
                if trial.server.row == "smol" {
                    trial.server.binary_sha256 = "ee".repeat(32);
                }
            }),
            ("smol ×2", |_, trial| {
                if trial.server.row == "smol" {
                    trial.server.workers = 2;
                }
            }),
            ("on core 3", |_, trial| (trial.cores.server, trial.cores.client) = (vec![3], vec![3])),
            ("client smol", |session, trial| {
                session.pairs.iter_mut().for_each(|pair| pair.client = "smol".to_owned());
                trial.client.row = "smol".to_owned();
            }),
            ("calls counted", |session, _| session.counts = true),
            ("commit fedcba9876", |session, _| {
                session.build.commit = "fedcba9876543210fedcba9876543210fedcba98".to_owned()
            }),
            ("flags -C target-cpu=native", |session, _| {
                session.build.flags = "-C target-cpu=native".to_owned()
            }),
            ("duration_ms 9", |_, trial| trial.scenario.load.duration_ms = 9),
        ];
        for (words, change) in cases {
            let mut other = run("b", "tokio", "smol");
            let session = &mut other.sessions[0];
            other.trials.iter_mut().for_each(|trial| change(session, trial));
            let summary = together(run("a", "tokio", "smol"), other);
            let named = names(&summary);
            assert_eq!(named.len(), 2, "{words}: {named:?}");
            assert!(named[1].contains(words), "{words}: {named:?}");
        }
    }
}
