//! Reading result files. What cannot be read is named with file and line, and the rest still counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use trial::record::{Line, Orphaned, Partial, Record, Session};

use crate::analysis::origin::is_same_machine;

mod sound;

/// The contents of result files.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The runs.
    pub sessions: Vec<Session>,
    /// The trials that count, failed ones included.
    pub trials: Vec<Record>,
    /// Trials of unfinished blocks that were left out.
    pub orphaned: usize,
    /// What could not be read: file, line and reason.
    pub problems: Vec<String>,
}

/// The last attempt at a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 0.
    pub number: u32,
    /// The places in the block that have a record.
    pub orders: BTreeSet<u32>,
}

/// The last attempt at each block that was begun, by the block's number.
pub type Progress = BTreeMap<u32, Attempt>;

/// Run, block, attempt and place of every trial that was read.
type Seen = BTreeSet<(String, u32, u32, u32)>;

impl Results {
    /// Reads one or more files.
    pub fn read(paths: &[impl AsRef<Path>]) -> Results {
        let (mut results, mut seen) = (Results::default(), Seen::new());
        for path in paths {
            results.add_file(path.as_ref(), &mut seen);
        }
        results.leave_out_orphans();
        results
    }

    /// Reads the bytes of one file.
    pub fn parse(bytes: &[u8]) -> Results {
        let mut results = Results::default();
        results.add_bytes("bytes", bytes, &mut Seen::new());
        results.leave_out_orphans();
        results
    }

    /// What a run has measured so far, of the records of a file.
    pub(crate) fn of_session(self, session: &Session) -> Results {
        let own = |trial: &Record| trial.session == session.session;
        let trials = self.trials.into_iter().filter(own).collect();
        Results { sessions: vec![session.clone()], trials, ..self }
    }

    /// Adds a trial that was just measured.
    pub(crate) fn add(&mut self, trial: Record) {
        self.trials.push(trial);
    }

    fn add_file(&mut self, path: &Path, seen: &mut Seen) {
        let name = path.display().to_string();
        match fs::read(path) {
            Ok(bytes) => self.add_bytes(&name, &bytes, seen),
            Err(error) => self.problems.push(format!("{name}: {error}")),
        }
    }

    fn add_bytes(&mut self, name: &str, bytes: &[u8], seen: &mut Seen) {
        if bytes.is_empty() {
            return self.problems.push(format!("{name}: the file is empty"));
        }
        for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            if line.last() != Some(&b'\n') {
                self.problems.push(format!(
                    "{name}:{number}: the last line has no end: it was interrupted and does not count"
                ));
            } else if let Err(reason) = self.add_line(line, seen) {
                self.problems.push(format!("{name}:{number}: {reason}"));
            }
        }
    }

    fn add_line(&mut self, line: &[u8], seen: &mut Seen) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|_| "no record: it is no text".to_owned())?;
        match Line::read(line).map_err(|error| error.to_string())? {
            Line::Session(session) => {
                sound::session(&session)?;
                // Written again for each round and wave that is added: the last line of a run counts.
                self.sessions.retain(|known| known.session != session.session);
                self.sessions.push(session);
            }
            Line::Trial(record) => {
                sound::trial(&record)?;
                self.belongs(&record)?;
                let place = (record.session.clone(), record.block, record.attempt, record.order);
                if !seen.insert(place) {
                    return Err(format!(
                        "a second record of block {}, attempt {}, place {}: the first one counts",
                        record.block, record.attempt, record.order
                    ));
                }
                self.trials.push(record);
            }
            // An orphan is known by the later attempt at its block; the line tells a person.
            Line::Orphaned(Orphaned { .. }) => {}
            // Likewise, what is missing is known from the plan.
            Line::Partial(Partial { .. }) => {}
        }
        Ok(())
    }

    /// Refuses a trial of another machine than its run: figures of two machines are not those of one run.
    fn belongs(&self, record: &Record) -> Result<(), String> {
        let session = self.sessions.iter().find(|session| session.session == record.session);
        match session {
            Some(session) if !is_same_machine(&session.machine, &record.machine) => Err(format!(
                "a trial of another machine than its run ({}, and the run is of {}): it does not count",
                record.machine.host, session.machine.host
            )),
            _ => Ok(()),
        }
    }

    /// Only the last attempt at a block counts.
    pub(crate) fn leave_out_orphans(&mut self) {
        let mut last: BTreeMap<(String, u32), u32> = BTreeMap::new();
        for trial in &self.trials {
            let attempt = last.entry((trial.session.clone(), trial.block)).or_default();
            *attempt = (*attempt).max(trial.attempt);
        }
        let before = self.trials.len();
        self.trials.retain(|trial| last[&(trial.session.clone(), trial.block)] == trial.attempt);
        self.orphaned += before - self.trials.len();
    }

    /// How far every block of `session` is that was begun.
    pub fn progress(&self, session: &str) -> Progress {
        let mut blocks = Progress::new();
        for trial in self.trials.iter().filter(|trial| trial.session == session) {
            let attempt = blocks.entry(trial.block).or_default();
            attempt.number = trial.attempt;
            attempt.orders.insert(trial.order);
        }
        blocks
    }
}

/// Cuts a last line without its end off a file, and says whether there was one.
///
/// # Errors
/// When the file cannot be read or written.
pub fn cut_unfinished_line(path: &Path) -> std::io::Result<bool> {
    let bytes = fs::read(path)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    if whole == bytes.len() {
        return Ok(false);
    }
    fs::OpenOptions::new().write(true).open(path)?.set_len(whole as u64)?;
    Ok(true)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::BTreeMap, io::Write};

    use bench_core::{RowInfo, protocol::ClientReport, row::BuildInfo, spec::Role, tally::Tally};
    use trial::{
        Edges, Sample,
        catalogue::Catalogue,
        machine::Machine,
        placement::{Cores, Placement},
        record::{Client, End, Pair, SCHEMA},
    };

    use super::*;

    pub(crate) fn build() -> BuildInfo {
        BuildInfo {
            commit: "0123456789abcdef".to_owned(),
            dirty: false,
            profile: "release".to_owned(),
            lock_sha256: "00".repeat(32),
            rustc: "rustc 1".to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            target_features: "sse2".to_owned(),
            opt_level: "3".to_owned(),
            flags: String::new(),
            features: Vec::new(),
        }
    }

    fn machine() -> Machine {
        Machine {
            host: "host".to_owned(),
            cpu: "cpu".to_owned(),
            cpus: 2,
            memory_bytes: 1 << 30,
            os: "Linux".to_owned(),
            kernel: "6".to_owned(),
            arch: "x86_64".to_owned(),
            warnings: Vec::new(),
        }
    }

    fn pair(server: &str) -> Pair {
        Pair { server: server.to_owned(), client: "tokio".to_owned() }
    }

    pub(crate) fn session() -> Session {
        Session {
            schema: SCHEMA,
            session: "s".to_owned(),
            command: vec![],
            started_unix_ms: 0,
            seed: 7,
            rounds: 3,
            rounds_of: BTreeMap::new(),
            further: Vec::new(),
            profile: None,
            role: Role::Server,
            pairs: vec![pair("tokio"), pair("smol"), pair("tokio#aa")],
            baseline: "tokio".to_owned(),
            unavailable: BTreeMap::new(),
            missing: false,
            started_by: Vec::new(),
            server_cores: 2,
            left_out: BTreeMap::new(),
            not_possible: BTreeMap::new(),
            scenarios: vec![Catalogue::built_in().scenarios["rtt-24"].clone()],
            counts: false,
            waves: Vec::new(),
            objective: None,
            target: None,
            machine: machine(),
            build: build(),
        }
    }

    /// A trial whose server used `cpu_ns` for 1,000 round trips in a second.
    pub(crate) fn trial(server: &str, block: u32, order: u32, cpu_ns: u64) -> Record {
        let sample = |cpu_ns| Sample { cpu_ns, rss_bytes: 1 << 20, ..Sample::default() };
        let samples = |cpu_ns| Edges { ready: Some(sample(1_000)), measured: Some(sample(1_000 + cpu_ns)) };
        let end = |row: &str| End {
            row: row.to_owned(),
            info: RowInfo::new(row, "1"),
            binary_sha256: String::new(),
            workers: 1,
        };
        let report = ClientReport { units: 1_000, elapsed_ns: 1_000_000_000, ..ClientReport::default() };
        Record {
            schema: SCHEMA,
            session: "s".to_owned(),
            round: block,
            block,
            attempt: 0,
            order,
            seed: 7,
            scenario: Catalogue::built_in().scenarios["rtt-24"].clone(),
            role: Role::Server,
            placement: Placement::Shared,
            cores: Cores::anywhere(),
            server: end(server),
            client: end("tokio"),
            server_samples: samples(cpu_ns),
            server_tally: Tally::default(),
            clients: vec![Client { load: 0, samples: samples(3_000_000), report: Some(report) }],
            started_unix_ms: 0,
            took_ns: 0,
            pacing: None,
            dropped: 0,
            disconnected: 0,
            memory_bound_bytes: None,
            bursts: Vec::new(),
            machine_samples: Edges::default(),
            machine: machine(),
            build: build(),
            marks: Default::default(),
            error: None,
        }
    }

    fn file(lines: &[Line], tail: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in lines {
            writeln!(file, "{}", serde_json::to_string(line).unwrap()).unwrap();
        }
        file.write_all(tail.as_bytes()).unwrap();
        file
    }

    #[test]
    fn what_is_written_is_read() {
        let record = trial("smol", 0, 1, 5_000_000);
        let file = file(&[Line::Session(session()), Line::Trial(record.clone())], "");
        let results = Results::read(&[file.path()]);
        assert!(results.problems.is_empty(), "{:?}", results.problems);
        assert_eq!((results.sessions.len(), &results.trials), (1, &vec![record]));
    }

    #[test]
    fn damage_is_named_and_the_rest_counts() {
        let other = serde_json::to_string(&Line::Session(Session { schema: 9, ..session() })).unwrap();
        let lines = [Line::Trial(trial("smol", 0, 1, 1))];
        let file = file(&lines, &format!("garbage\n{other}\n{{\"kind\":\"trial\""));
        let results = Results::read(&[file.path()]);
        assert_eq!(results.trials.len(), 1);
        let [garbage, schema, cut] = &results.problems[..] else { panic!("{:?}", results.problems) };
        assert!(garbage.contains(":2: no record"), "{garbage}");
        assert!(schema.contains(":3: a record of schema 9"), "{schema}");
        assert!(cut.contains(":4: the last line has no end"), "{cut}");
        assert!(cut_unfinished_line(file.path()).unwrap());
        assert!(!cut_unfinished_line(file.path()).unwrap());
        assert_eq!(Results::read(&[file.path()]).problems.len(), 2);
    }

    #[test]
    fn empty_and_missing_files_are_named() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert!(Results::read(&[empty.path()]).problems[0].ends_with("the file is empty"));
        let missing = Results::read(&["no/such/file"]);
        assert!(missing.problems[0].starts_with("no/such/file: "));
    }

    #[test]
    fn only_the_last_line_of_a_session_counts() {
        let again = Session { rounds: 4, ..session() };
        let other = Session { session: "t".to_owned(), ..session() };
        let lines = [Line::Session(session()), Line::Session(other.clone()), Line::Session(again.clone())];
        assert_eq!(Results::read(&[file(&lines, "").path()]).sessions, [other, again]);
    }

    #[test]
    fn only_the_last_attempt_at_a_block_counts() {
        let again = |record: Record| Line::Trial(Record { attempt: 1, ..record });
        let lines = [
            Line::Trial(trial("tokio", 0, 0, 1)),
            Line::Trial(trial("tokio", 1, 0, 1)),
            again(trial("tokio", 1, 0, 2)),
            again(trial("smol", 1, 1, 2)),
        ];
        let results = Results::read(&[file(&lines, "").path()]);
        assert_eq!((results.trials.len(), results.orphaned), (3, 1));
        let progress = results.progress("s");
        assert_eq!(progress[&0], Attempt { number: 0, orders: [0].into() });
        assert_eq!(progress[&1], Attempt { number: 1, orders: [0, 1].into() });
    }
}
