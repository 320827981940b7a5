//! Under which conditions the results came about, and what went wrong.

use std::collections::{BTreeMap, BTreeSet};

use trial::{
    mark::Mark,
    record::{End, Record, Session},
};

use crate::{
    analysis::{origin::short_build, results::Results, summary::Summary, twin::is_twin},
    output::text::{clean, count},
};

/// The conditions, each list without repetitions.
pub(crate) struct Conditions {
    pub(crate) machines: Vec<String>,
    pub(crate) builds: Vec<String>,
    pub(crate) commands: Vec<String>,
    pub(crate) runs: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) versions: Vec<Version>,
    /// Letter, name, trials and meaning.
    pub(crate) marks: Vec<(char, &'static str, String, &'static str)>,
    pub(crate) failures: Vec<String>,
    /// Rows that were not available or left out, and lines that could not be read.
    pub(crate) missing: Vec<String>,
}

/// What a row was made of.
pub(crate) struct Version {
    pub(crate) row: String,
    pub(crate) runtime: String,
    pub(crate) scheduler: String,
    pub(crate) io: String,
    pub(crate) websocket: String,
}

/// The conditions of some results.
pub(crate) fn conditions(results: &Results, summary: &Summary) -> Conditions {
    let trials = || results.trials.iter();
    let sessions = || results.sessions.iter();
    let machine = |trial: &Record| format!("{} · {}", trial.machine.host, trial.machine.summary());
    Conditions {
        machines: unique(trials().map(machine)),
        builds: unique(trials().map(|trial| short_build(&trial.build))),
        commands: unique(sessions().map(|session| command(&session.command))),
        runs: unique(sessions().map(run)),
        warnings: unique(trials().flat_map(|trial| trial.machine.warnings.clone())),
        versions: versions(&results.trials),
        marks: marks(&results.trials),
        failures: summary.failures.iter().map(|failure| clean(failure)).collect(),
        missing: unique(missing(results, summary).into_iter()),
    }
}

/// The texts without what acts, each once.
fn unique(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts.map(|text| clean(&text)).filter(|text| seen.insert(text.clone())).collect()
}

/// A run in a line.
fn run(session: &Session) -> String {
    let started = jiff::Timestamp::from_millisecond(session.started_unix_ms as i64);
    let started = started.map_or(String::new(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    if let Some(target) = &session.target {
        return format!("{started}, a drive of {target}");
    }
    let profile = session.profile.as_ref().map_or(String::new(), |profile| format!(", profile {profile}"));
    let rounds = count(session.rounds as usize, "round");
    let further = match session.further.len() {
        0 => String::new(),
        further => format!(" and {further} in place of disturbed ones"),
    };
    format!("{started}, {rounds}{further}, seed {}{profile}", session.seed)
}

/// What each row was made of, by its name.
fn versions(trials: &[Record]) -> Vec<Version> {
    let mut versions: BTreeMap<String, Version> = BTreeMap::new();
    let ends = trials.iter().flat_map(|trial| [&trial.server, &trial.client]);
    for End { row, info, .. } in ends.filter(|end| !is_twin(&end.row)) {
        versions.entry(clean(row)).or_insert_with(|| Version {
            row: clean(row),
            runtime: clean(&format!("{} {}", info.runtime, info.runtime_version)),
            scheduler: clean(&info.scheduler),
            io: clean(&info.io_mode),
            websocket: clean(&info.websocket),
        });
    }
    versions.into_values().collect()
}

/// Each mark that some trial has.
fn marks(trials: &[Record]) -> Vec<(char, &'static str, String, &'static str)> {
    let mark = |mark: &Mark| {
        let marked = trials.iter().filter(|trial| trial.marks.contains(mark)).count();
        (marked > 0).then(|| (mark.letter(), mark.name(), count(marked, "trial"), mark.meaning()))
    };
    Mark::ALL.iter().filter_map(mark).collect()
}

/// What was not measured, or does not count.
fn missing(results: &Results, summary: &Summary) -> Vec<String> {
    let mut missing: Vec<String> =
        summary.unavailable.iter().map(|(row, reason)| format!("{row}: not available: {reason}")).collect();
    missing.extend(summary.left_out.iter().cloned());
    if summary.orphaned > 0 {
        missing.push(format!("{} of unfinished blocks left out", count(summary.orphaned, "trial")));
    }
    missing.extend(results.problems.iter().cloned());
    missing
}

/// A command line as one would type it: the program by its name, and quotes where a shell needs them.
fn command(words: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty()
            && word.chars().all(|letter| letter.is_alphanumeric() || "-_./=,:@+%#".contains(letter))
    };
    let word = |(place, word): (usize, &String)| {
        let word = if place == 0 { word.rsplit('/').next().unwrap_or(word) } else { word };
        if plain(word) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        let words = ["target/release/wsbench", "run", "--scenarios", "window-*"].map(str::to_owned);
        assert_eq!(command(&words), "wsbench run --scenarios 'window-*'");
    }
}
