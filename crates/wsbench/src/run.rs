//! `run`: measures a plan, block after block, and keeps every record as soon as it exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

#[cfg(target_os = "linux")]
use bench_core::trial::counters;
use bench_core::{
    catalogue::{MAX_ROUNDS, Pairing},
    mark::Mark,
    record::{
        FoundPoint, Line, Machine, Origin, Orphaned, Pair, Partial, Position, Record, SCHEMA, Session,
        new_session, unix_ms,
    },
    runner::BuildInfo,
    spec::{Load, SocketSpec, parse_millis},
    trial::{
        Program, Role, Setup, execute,
        execute::limit,
        placement::{self, Cores, Placement},
        sample::MachineSampler,
    },
};
use clap::Args;
use indicatif::HumanDuration;

use crate::{
    cast::cast,
    check,
    curve::Slo,
    exit::{FAILED, INCOMPLETE, OK, Stop},
    inert::{inert, say},
    lock::{Lock, LockArguments},
    offers,
    output::{Records, refuse_unfinished_line},
    plan::{self, Block, row_of},
    progress::Progress,
    rates,
    results::{Results, cut_unfinished_line, is_same_machine},
    rows::{AVAILABLE, Finder, short},
    select::{Selection, ad_hoc, select},
    signals::{self, Signal},
    summary::{Group, RowFigures, Summary},
    table::{Format, render},
    verdict::Verdict,
    workers,
};

/// What the table and a run assume unless they are told otherwise.
pub const DEFAULT_CONFIDENCE: f64 = 0.95;
/// The objective that a curve's table assumes unless it is told otherwise.
pub const DEFAULT_SLO: &str = "p99<1ms";

/// Parses a confidence such as `0.95`.
///
/// # Errors
/// When it is not between one half and one.
pub fn parse_confidence(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a confidence is a number such as 0.95".to_owned())?;
    if (0.5..1.0).contains(&share) {
        Ok(share)
    } else {
        Err(format!("{text} is out of range: 0.5 to 0.999… are possible"))
    }
}

/// Parses `3%` into 0.03.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        _ => Err("a width is a percentage over 0, such as 3%".to_owned()),
    }
}

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// Profile to run, or a TOML file with one (FILE, or FILE#NAME)
    ///
    /// `quick` when neither scenarios nor an ad-hoc load are given. `wsbench list profiles` shows all.
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Scenarios by name or pattern (`window-*`), separated by commas, from the whole catalogue or from --profile
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Rows: `available`, `all`, names, or ROW@PATH for another build of a row
    #[arg(long, value_name = "ROWS", value_delimiter = ',', default_value = AVAILABLE)]
    pub(crate) rows: Vec<String>,
    /// Which rows meet which; the profile decides, and otherwise every server meets one fixed client
    #[arg(long, value_enum)]
    pub(crate) pairs: Option<Pairing>,
    /// Server rows, each of which meets each of --client-rows; the fixed row when only the other side is given
    #[arg(long, value_name = "ROWS", value_delimiter = ',', conflicts_with_all = ["rows", "pairs"])]
    pub(crate) server_rows: Vec<String>,
    /// Client rows, each of which meets each of --server-rows; the fixed row when only the other side is given
    #[arg(long, value_name = "ROWS", value_delimiter = ',', conflicts_with_all = ["rows", "pairs"])]
    pub(crate) client_rows: Vec<String>,
    /// Worker threads of rows that take several (tokio-multi …), and their cores with `--placement split`
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    server_cores: u32,
    /// Row that the others are compared with; the first one where it is not measured
    #[arg(long, value_name = "ROW", default_value = "tokio")]
    pub(crate) baseline: String,
    /// Row of the fixed client (or server, with --pairs clients)
    #[arg(long, value_name = "ROW", default_value = "tokio")]
    pub(crate) reference: String,
    /// Rounds; the profile decides, and 7 otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_ROUNDS as i64))]
    rounds: Option<u32>,
    /// Seed of the shuffled order; from the clock, and printed, when not given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where server and client run; each scenario decides when not given
    #[arg(long, value_enum)]
    placement: Option<Placement>,
    /// File that the records are appended to; wsbench-SESSION.ndjson when not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on with an interrupted run; its own settings count
    // Not `exclusive`: that would refuse WSBENCH_RUNNER_DIR in the environment, too.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "profile", "scenarios", "rows", "pairs", "baseline", "reference", "rounds", "seed", "placement", "out", "dry_run",
    ])]
    resume: Option<PathBuf>,
    /// Confidence of intervals and verdicts
    #[arg(long, value_name = "SHARE", value_parser = parse_confidence, default_value_t = DEFAULT_CONFIDENCE)]
    confidence: f64,
    /// Latency objective of a curve: its table names the highest rate that holds it
    #[arg(long, value_name = "OBJECTIVE", value_parser = Slo::parse, default_value = DEFAULT_SLO)]
    slo: Slo,
    /// Go on with further rounds until every row's interval by its ranking metric is this narrow, such as `3%`
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, conflicts_with = "resume")]
    target_width: Option<f64>,
    /// Most rounds that --target-width may add up to
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=MAX_ROUNDS as i64))]
    max_rounds: u32,
    /// Count system calls (tracepoints) and instructions (hardware counters) of both ends, where the machine can
    ///
    /// Counting slows every system call, the more so the more a row makes: take costs from a run without it.
    #[arg(long, conflicts_with = "resume")]
    counts: bool,
    /// Print the trials in order and the time they take, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Longest time for one trial; several times the expected time when not given
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    trial_timeout: Option<u64>,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
    #[command(flatten)]
    lock: LockArguments,
    /// How the table at the end is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Say nothing on stderr while it goes on; errors are said
    #[arg(short, long)]
    quiet: bool,
    /// A load of your own, instead of a profile or scenarios.
    #[command(flatten, next_help_heading = "A load of your own, instead of --profile or --scenarios")]
    load: Load,
    /// Settings of its connections.
    #[command(flatten, next_help_heading = "Its connections")]
    socket: SocketSpec,
}

/// Runs what the flags ask for. `own_load` says whether any flag of an ad-hoc load was given, and `build` which build
/// this program comes from.
///
/// # Errors
/// When nothing can be run, with the reason and the exit code.
pub fn start(mut arguments: RunArguments, own_load: bool, build: BuildInfo) -> Result<u8, Stop> {
    if arguments.json {
        arguments.format = Format::Json;
    }
    let finder = Finder::new(arguments.runner_dir.clone(), build.clone())?;
    if arguments.trial_timeout == Some(0) {
        return Err(Stop::usage("--trial-timeout: 0 ms is out of range: no trial ends in no time"));
    }
    let time = arguments.trial_timeout.map(Duration::from_millis);
    if let Some(path) = &arguments.resume {
        if own_load {
            return Err(Stop::usage(
                "--resume goes on with the run's own load: leave the flags of a load out",
            ));
        }
        let (format, slo, confidence) = (arguments.format, arguments.slo, arguments.confidence);
        let look = Look { format, slo, confidence, target: None, quiet: arguments.quiet };
        return resume(path, &arguments.lock, &finder, &build, time, look);
    }
    let machine = Machine::this(&build);
    let mut selection = selection(&arguments, own_load)?;
    let cast = cast(&arguments, selection.pairing, &finder)?;
    let not_possible = workers::leave_out_impossible(&mut selection, &cast, &arguments.scenarios)?;
    for (scenario, reason) in &not_possible {
        say(&format!("{scenario}: left out, it {reason}"));
    }
    check::resources(&selection.scenarios, machine.memory_bytes)?;
    let left_out = offers::left_out(&cast.programs, &selection.scenarios, &cast.pairs)?;
    for (scenario, rows) in &left_out {
        for (row, what) in rows {
            say(&format!("{row}: left out of {scenario}: it does not offer {what}"));
        }
    }
    let rounds = arguments.rounds.unwrap_or(selection.rounds);
    // Asked for fewer rounds, those that have few do not become more.
    let of_own = selection.rounds_of.into_iter();
    let rounds_of = match arguments.rounds {
        Some(_) => of_own.filter(|(_, own)| *own < rounds).collect(),
        None => of_own.collect(),
    };
    let session = Session {
        schema: SCHEMA,
        session: new_session(),
        command: std::env::args().collect(),
        started_unix_ms: unix_ms(),
        seed: arguments.seed.unwrap_or_else(|| unix_ms() % 100_000),
        rounds,
        rounds_of,
        profile: selection.profile,
        role: cast.role,
        pairs: cast.pairs,
        baseline: cast.baseline,
        unavailable: cast.unavailable,
        missing: cast.missing,
        left_out,
        not_possible,
        server_cores: arguments.server_cores,
        objective: selection
            .scenarios
            .iter()
            .any(|scenario| scenario.finds_rates)
            .then(|| arguments.slo.text()),
        scenarios: selection.scenarios,
        waves: Vec::new(),
        counts: arguments.counts,
        machine,
        build,
    };
    if session.objective.is_some() && arguments.target_width.is_some() {
        return Err(Stop::usage(
            "--target-width adds rounds to intervals, and a curve whose rates are found has none: give the one or the other",
        ));
    }
    let bench = Bench::new(&session, cast.programs, time)?;
    for warning in &session.machine.warnings {
        say(&format!("note: {warning}"));
    }
    #[cfg(target_os = "linux")]
    if session.counts {
        for missing in counters::missing() {
            say(&format!("note: {missing}"));
        }
    }
    if arguments.dry_run {
        crate::exit_quietly_on_closed_pipe(&dry_run(&session));
        return Ok(OK);
    }
    let path = arguments.out.unwrap_or_else(|| format!("wsbench-{}.ndjson", session.session).into());
    let _lock = Lock::take(&arguments.lock)?;
    refuse_unfinished_line(&path)?;
    let mut records = Records::append(&path)?;
    records.write(&Line::Session(session.clone()))?;
    let target = arguments.target_width.map(|width| Target { width, max_rounds: arguments.max_rounds });
    let (format, slo, confidence) = (arguments.format, arguments.slo, arguments.confidence);
    let look = Look { format, slo, confidence, target, quiet: arguments.quiet };
    finish(bench, session, BTreeMap::new(), records, look)
}

fn selection(arguments: &RunArguments, own_load: bool) -> Result<Selection, Stop> {
    let named = arguments.profile.is_some() || !arguments.scenarios.is_empty();
    if own_load && named {
        return Err(Stop::usage(
            "a scenario's load is part of its name: give either --profile or --scenarios, or a load of your own \
             (--connections, --payload, --duration …)",
        ));
    }
    let mut selection = if own_load {
        let placement = arguments.placement.unwrap_or_default();
        ad_hoc(arguments.load.clone(), arguments.socket.clone(), placement)?
    } else {
        select(arguments.profile.as_deref(), &arguments.scenarios)?
    };
    if let Some(placement) = arguments.placement {
        selection.scenarios.iter_mut().for_each(|scenario| scenario.placement = placement);
    }
    Ok(selection)
}

/// Completes the last run of a file: unfinished blocks are repeated whole.
fn resume(
    path: &Path,
    lock: &LockArguments,
    finder: &Finder,
    build: &BuildInfo,
    time: Option<Duration>,
    look: Look,
) -> Result<u8, Stop> {
    let results = Results::read(&[path]);
    let Some(session) = results.sessions.last().cloned() else {
        let reason = results.problems.first().map_or("there is none", String::as_str);
        return Err(Stop::usage(format!("{}: no run to go on with: {reason}", path.display())));
    };
    if session.build != *build {
        return Err(Stop::usage(format!(
            "{}: the run is of another build ({}, and this is {}): results of two builds are not mixed",
            path.display(),
            short(&session.build),
            short(build)
        )));
    }
    let this = Machine::this(build);
    if !is_same_machine(&session.machine, &this) {
        return Err(Stop::usage(format!(
            "{}: the run is of another machine or kernel ({}): results of two machines are not mixed",
            path.display(),
            session.machine.summary()
        )));
    }
    let wanted: Vec<String> = session
        .pairs
        .iter()
        .flat_map(|pair| [&pair.server, &pair.client])
        .map(|name| row_of(name).to_owned())
        .collect();
    let rows = finder.select(&wanted)?;
    if let Some((row, reason)) = rows.unavailable.iter().next() {
        return Err(Stop::failed(format!("{row}: not available any more: {reason}")));
    }
    for program in &rows.programs {
        // A file may hold earlier runs, of other builds.
        let own = results.trials.iter().filter(|trial| trial.session == session.session);
        let ends = own.flat_map(|trial| [&trial.server, &trial.client]);
        let mut of_this_row = ends.filter(|end| row_of(&end.row) == program.row);
        if of_this_row.any(|end| end.binary_sha256 != program.sha256) {
            return Err(Stop::usage(format!(
                "{}: {} has changed since the run began: results of two builds are not mixed",
                path.display(),
                program.path.display()
            )));
        }
    }
    check::resources(&session.scenarios, this.memory_bytes)?;
    let bench = Bench::new(&session, rows.programs, time)?;
    let _lock = Lock::take(lock)?;

    if cut_unfinished_line(path).map_err(|error| Stop::failed(format!("{}: {error}", path.display())))? {
        say(&format!("{}: the last line was interrupted and is discarded", path.display()));
    }
    let mut records = Records::append(path)?;
    let progress = results.progress(&session.session);
    let blocks = plan::blocks(&session);
    for (block, (attempt, orders)) in &progress {
        let pairs =
            blocks.iter().find(|planned| planned.number == *block).map_or(0, |block| block.pairs.len());
        if orders.len() < pairs {
            let (session, block, attempt) = (session.session.clone(), *block, *attempt);
            say(&format!("block {} was not finished and is repeated", block.saturating_add(1)));
            records.write(&Line::Orphaned(Orphaned { session, block, attempt }))?;
        }
    }
    finish(bench, session, progress, records, look)
}

/// How the results are looked at.
#[derive(Clone, Copy, Debug)]
struct Look {
    format: Format,
    slo: Slo,
    confidence: f64,
    target: Option<Target>,
    quiet: bool,
}

/// How narrow the intervals are to become, and in how many rounds at most.
#[derive(Clone, Copy, Debug)]
struct Target {
    /// Upper over lower end of a ratio's interval, less 1.
    width: f64,
    max_rounds: u32,
}

impl Target {
    /// Whether another round is needed.
    fn is_missed(self, summary: &Summary, session: &Session) -> bool {
        let wide = |row: &RowFigures| {
            row.judged.is_some_and(|judged| match (judged.verdict, judged.interval) {
                (Verdict::Baseline, _) => false,
                // Further rounds would not give it more cores.
                _ if row.marks.contains_key(&Mark::CoresShared) => false,
                (Verdict::TooFew { .. }, _) | (_, None) => true,
                (_, Some((low, high))) => high / low - 1.0 > self.width,
            })
        };
        // What has its own number of rounds gets no more of them.
        let grows = |group: &&Group| !session.rounds_of.contains_key(&group.scenario.name);
        session.rounds < self.max_rounds
            && summary.groups.iter().filter(grows).flat_map(|group| &group.rows).any(wide)
    }
}

/// Measures what is not done yet and prints the table.
fn finish(
    mut bench: Bench,
    mut session: Session,
    mut done: BTreeMap<u32, (u32, BTreeSet<u32>)>,
    mut records: Records,
    look: Look,
) -> Result<u8, Stop> {
    signals::listen()?;
    let path = records.path().to_owned();
    // A resumed run goes on looking for what it looked for.
    let slo = session.objective.as_deref().and_then(|text| Slo::parse(text).ok()).unwrap_or(look.slo);
    // Said first: whoever interrupts the run has to know where its records are.
    if !look.quiet {
        let resume = "(`wsbench run --resume` goes on with it after an interruption)";
        say(&format!("records: {} {resume}", path.display()));
    }
    let (own, summary) = loop {
        let progress = Progress::start(&session, look.quiet, |block| is_done(block, &done));
        let result = run_blocks(
            &session,
            &done,
            |block, pair, position| {
                progress.trial(block, pair);
                let record = bench.trial(block, pair, position);
                // What a trial says that was interrupted is no result.
                Signal::caught().is_none().then(|| progress.done(&record))?;
                Some(record)
            },
            |line| records.write(line),
        );
        progress.end();
        result?;

        if let Some(signal) = Signal::caught() {
            let (session, signal) = (session.session.clone(), signal.name().to_owned());
            records.write(&Line::Partial(Partial {
                schema: SCHEMA,
                session,
                signal,
                at_unix_ms: unix_ms(),
            }))?;
        }
        let results = Results::read(&[&path]);
        done = results.progress(&session.session);
        let own = Results {
            trials: results.trials.into_iter().filter(|trial| trial.session == session.session).collect(),
            sessions: vec![session.clone()],
            ..results
        };
        let summary = Summary::new(&own, look.confidence);
        let wave = rates::next_wave(&summary.groups, slo);
        if Signal::caught().is_none() && !wave.is_empty() {
            for FoundPoint { scenario, rows } in &wave {
                let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
                say(&format!("next: {} for {}", scenario.name, rows.join(", ")));
            }
            session.waves.push(wave);
            records.write(&Line::Session(session.clone()))?;
            continue;
        }
        match look.target {
            Some(target) if Signal::caught().is_none() && target.is_missed(&summary, &session) => {
                session.rounds += 1;
                // The same run with a round more: the last of its lines counts.
                records.write(&Line::Session(session.clone()))?;
            }
            _ => break (own, summary),
        }
    };
    // Of the whole run: a resumed one may have failed trials from before its interruption.
    let failed = own.trials.iter().any(|trial| trial.error.is_some());
    crate::exit_quietly_on_closed_pipe(&render(&summary, look.format, slo));
    if let Some(problem) = own.problems.first() {
        say(&format!("error: {problem}"));
        return Ok(FAILED);
    }
    if let Some(signal) = Signal::caught() {
        return Ok(signal.exit_code());
    }
    Ok(if failed || session.missing { INCOMPLETE } else { OK })
}

/// Whether every trial of a block has a record.
fn is_done(block: &Block, done: &BTreeMap<u32, (u32, BTreeSet<u32>)>) -> bool {
    done.get(&block.number).is_some_and(|(_, orders)| orders.len() == block.pairs.len())
}

/// Runs all blocks of a session that are not done, until a trial was interrupted (`None`), and says whether one failed.
///
/// `done` gives the last attempt at a block and the places in it that have a record; a block that lacks one is repeated
/// whole, as a further attempt.
///
/// # Errors
/// When a record cannot be kept: nothing more is measured then.
pub fn run_blocks(
    session: &Session,
    done: &BTreeMap<u32, (u32, BTreeSet<u32>)>,
    mut trial: impl FnMut(&Block, &Pair, Position) -> Option<Record>,
    mut keep: impl FnMut(&Line) -> Result<(), Stop>,
) -> Result<bool, Stop> {
    let mut failed = false;
    for block in plan::blocks(session) {
        if is_done(&block, done) {
            continue;
        }
        let attempt = done.get(&block.number).map_or(0, |(attempt, _)| attempt + 1);
        for (order, pair) in (0..).zip(&block.pairs) {
            let position = Position { round: block.round, block: block.number, attempt, order };
            let Some(record) = trial(&block, pair, position) else { return Ok(failed) };
            failed |= record.error.is_some();
            keep(&Line::Trial(record))?;
        }
    }
    Ok(failed)
}

fn dry_run(session: &Session) -> String {
    use std::fmt::Write;

    let blocks = plan::blocks(session);
    let mut text = String::new();
    for block in &blocks {
        let trials: Vec<String> = block
            .pairs
            .iter()
            .map(|pair| {
                if pair.server == pair.client {
                    pair.server.clone()
                } else {
                    format!("{}/{}", pair.server, pair.client)
                }
            })
            .collect();
        let _ = writeln!(
            text,
            "round {:>2}  {:<22} {:<6}  {}",
            block.round + 1,
            inert(&block.scenario.name),
            block.scenario.placement,
            inert(&trials.join("  "))
        );
    }
    let trials: usize = blocks.iter().map(|block| block.pairs.len()).sum();
    let _ = writeln!(
        text,
        "{trials} trials, about {}, seed {} (server/client; {} is the baseline again)",
        HumanDuration(plan::duration(&blocks)),
        session.seed,
        format_args!("{}{}", session.baseline, plan::TWIN),
    );
    text
}

/// Everything that trials need and that stays the same through a run.
struct Bench {
    origin: Origin,
    programs: Vec<Program>,
    /// By placement and the worker threads of server and client.
    cores: BTreeMap<(Placement, u32, u32), Cores>,
    server_cores: u32,
    machine: MachineSampler,
    time: Option<Duration>,
}

impl Bench {
    /// Checks that every trial of the session is possible.
    fn new(session: &Session, programs: Vec<Program>, time: Option<Duration>) -> Result<Bench, Stop> {
        if !cfg!(target_os = "linux") {
            return Err(Stop::failed(
                "pinning and the cost of a process are not available on this system, and without them there is no fair \
                 comparison: wsbench compares on Linux only; `cargo run -p runner-tokio` shows one runtime anywhere",
            ));
        }
        if offers::left_out(&programs, &session.scenarios, &session.pairs)? != session.left_out {
            return Err(Stop::usage(
                "the rows do not offer the services, workloads and flush policies that they did",
            ));
        }
        let mut cores = BTreeMap::new();
        for scenario in &session.scenarios {
            for pair in &session.pairs {
                let several = scenario.server_cores.unwrap_or(session.server_cores);
                let threads = |row| program(&programs, row).threads(several);
                let (server, client) = (threads(&pair.server), threads(&pair.client));
                let chosen = placement::choose(scenario.placement, server, client)
                    .map_err(|reason| Stop::usage(format!("`{}`: {reason}", scenario.name)))?;
                cores.insert((scenario.placement, server, client), chosen);
            }
        }
        let clients: BTreeSet<&str> = session.pairs.iter().map(|pair| row_of(&pair.client)).collect();
        let origin = Origin {
            session: session.session.clone(),
            seed: session.seed,
            role: session.role,
            compares_clients: session.role == Role::Client || clients.len() > 1,
            counts: session.counts,
            machine: session.machine.clone(),
            build: session.build.clone(),
        };
        let server_cores = session.server_cores;
        Ok(Bench { origin, programs, cores, server_cores, machine: MachineSampler::new(), time })
    }

    fn trial(&mut self, block: &Block, pair: &Pair, position: Position) -> Record {
        let (server, client) = (program(&self.programs, &pair.server), program(&self.programs, &pair.client));
        let threads = block.scenario.server_cores.unwrap_or(self.server_cores);
        let placement = block.scenario.placement;
        let setup = Setup {
            scenario: &block.scenario,
            pair,
            server,
            client,
            placement,
            cores: &self.cores[&(placement, server.threads(threads), client.threads(threads))],
            threads,
        };
        let time = self.time.unwrap_or_else(|| limit(&block.scenario));
        execute(&self.origin, position, setup, time, &mut self.machine)
    }
}

/// The program behind a name of the session.
fn program<'a>(programs: &'a [Program], name: &str) -> &'a Program {
    let row = row_of(name);
    let found = programs.iter().find(|program| program.row == row);
    found.expect("`left_out` has found a program for every row of the session")
}

#[cfg(test)]
mod tests {
    use bench_core::trial::{Failure, Step};

    use super::*;
    use crate::results::tests::{session, trial};

    /// Runs a session against a script; returns the records kept.
    fn scripted(
        done: &BTreeMap<u32, (u32, BTreeSet<u32>)>,
        fail: impl Fn(Position) -> bool,
    ) -> (Vec<Record>, bool) {
        let mut kept = Vec::new();
        let failed = run_blocks(
            &session(),
            done,
            |block, pair, position| {
                let mut record = trial(&pair.server, block.number, position.order, 1_000);
                record.attempt = position.attempt;
                record.error =
                    fail(position).then(|| Failure { step: Step::Measure, message: "scripted".to_owned() });
                Some(record)
            },
            |line| {
                if let Line::Trial(record) = line {
                    kept.push(record.clone());
                }
                Ok(())
            },
        );
        (kept, failed.unwrap())
    }

    #[test]
    fn every_trial_is_kept_and_a_failed_one_does_not_end_the_run() {
        let (kept, failed) = scripted(&BTreeMap::new(), |position| position.block == 1);
        assert_eq!(kept.len(), 9);
        assert!(failed);
        assert_eq!(kept.iter().filter(|record| record.error.is_some()).count(), 3);
    }

    #[test]
    fn a_resumed_run_repeats_an_unfinished_block_whole() {
        let done = [(0, (0, [0, 1, 2].into())), (1, (0, [0].into()))].into();
        let (kept, failed) = scripted(&done, |_| false);
        let blocks: Vec<(u32, u32)> = kept.iter().map(|record| (record.block, record.attempt)).collect();
        assert_eq!(blocks, [(1, 1), (1, 1), (1, 1), (2, 0), (2, 0), (2, 0)]);
        assert!(!failed);
    }

    #[test]
    fn a_record_that_cannot_be_kept_ends_the_run() {
        let mut trials = 0;
        let result = run_blocks(
            &session(),
            &BTreeMap::new(),
            |_, pair, position| {
                trials += 1;
                Some(trial(&pair.server, position.block, position.order, 1))
            },
            |_| Err(Stop::failed("the disk is full")),
        );
        assert!(result.is_err());
        assert_eq!(trials, 1);
    }

    #[test]
    fn an_interrupted_trial_is_the_last_and_is_not_kept() {
        let mut kept = 0;
        let trial = |_: &Block, pair: &Pair, position: Position| {
            (position.block < 1).then(|| trial(&pair.server, position.block, position.order, 1))
        };
        let failed = run_blocks(&session(), &BTreeMap::new(), trial, |_| {
            kept += 1;
            Ok(())
        });
        assert_eq!((kept, failed.unwrap()), (3, false));
    }

    #[test]
    fn a_dry_run_lists_every_block() {
        let text = dry_run(&session());
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("9 trials") && text.contains("seed 7") && text.contains("smol/tokio"));
    }
}
