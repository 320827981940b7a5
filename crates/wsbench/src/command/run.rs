//! `run`: measures a plan, block after block, and keeps every record as soon as it exists.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

#[cfg(target_os = "linux")]
use bench_core::{
    row::BuildInfo,
    spec::{LoadFlags, SocketSpec},
};
use clap::{ArgMatches, Args, parser::ValueSource};
use trial::{
    Program,
    catalogue::MAX_ROUNDS,
    counters,
    machine::Machine,
    placement::Placement,
    record::{Line, SCHEMA, Session, command_line, new_session, unix_ms},
};
use units::parse_millis;

use crate::{
    analysis::{
        confidence::{DEFAULT_CONFIDENCE, parse_confidence},
        objective::{DEFAULT_SLO, Slo},
        results::Results,
    },
    exit::{OK, Stop},
    output::{
        files::{Records, refuse_unfinished_line},
        print::print,
        table::Format,
        terminal::say,
    },
    run::{
        bench::Bench,
        capabilities,
        dry_run::dry_run,
        finish::{Begun, FinishOptions, finish},
        lock::{Lock, LockArguments},
        pairing::{PairingArguments, participants},
        replacement::Target,
        resources,
        resume::resume,
        rounds::Rounds,
        rows::Finder,
        select::{Selection, ad_hoc, select},
        workers,
    },
};

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
    #[command(flatten)]
    rows: PairingArguments,
    /// Rounds; the profile decides, and otherwise as many as verdicts on these rows need
    ///
    /// More rows and metrics need more rounds; --dry-run prints how many. Of scenarios in which disturbed trials leave too few
    /// for a verdict, up to half as many more are measured.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_ROUNDS as i64))]
    rounds: Option<u32>,
    /// As many rounds as fit into this time, such as `8m`; --dry-run says for which verdicts they are enough
    #[arg(long, value_name = "TIME", value_parser = parse_millis, conflicts_with_all = ["rounds", "target_width", "resume"])]
    budget: Option<u64>,
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
    /// Print only errors on stderr during the run
    #[arg(short, long)]
    quiet: bool,
    /// A load of your own, instead of a profile or scenarios.
    #[command(flatten, next_help_heading = "A load of your own, instead of --profile or --scenarios")]
    load: LoadFlags,
    /// Settings of its connections.
    #[command(flatten, next_help_heading = "Its connections")]
    socket: SocketSpec,
}

/// Where the load of a run comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadSource {
    /// Scenarios of the catalogue or of a profile.
    Scenarios,
    /// The flags of an ad-hoc load.
    Flags,
}

impl LoadSource {
    /// The flags of a load count only where the command line gives one of them: the defaults alone ask for nothing.
    pub fn of(matches: &ArgMatches) -> LoadSource {
        let own = SocketSpec::augment_args(LoadFlags::augment_args(clap::Command::new("load")));
        let is_given = |run: &ArgMatches| {
            let mut flags = own.get_arguments();
            flags.any(|flag| run.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine))
        };
        if matches.subcommand_matches("run").is_some_and(is_given) {
            LoadSource::Flags
        } else {
            LoadSource::Scenarios
        }
    }
}

/// Runs what the flags ask for. `build` is the build that this program comes from.
///
/// # Errors
/// When nothing can be run, with the reason and the exit code.
pub fn run(mut arguments: RunArguments, source: LoadSource, build: BuildInfo) -> Result<u8, Stop> {
    if arguments.json {
        arguments.format = Format::Json;
    }
    let finder = Finder::new(arguments.runner_dir.clone(), build.clone())?;
    if arguments.trial_timeout == Some(0) {
        return Err(Stop::usage("--trial-timeout: 0 ms is out of range: no trial ends in no time"));
    }
    let time = arguments.trial_timeout.map(Duration::from_millis);
    if let Some(path) = &arguments.resume {
        if source == LoadSource::Flags {
            return Err(Stop::usage(
                "--resume goes on with the run's own load: leave the flags of a load out",
            ));
        }
        return resume(path, &arguments.lock, &finder, &build, time, arguments.finish_options());
    }
    let Planned { mut session, programs } = plan(&arguments, source, &finder, build)?;
    let mut bench = Bench::new(&session, programs, time)?;
    #[cfg(target_os = "linux")]
    if session.counts {
        for missing in counters::missing() {
            say(&format!("note: {missing}"));
        }
    }
    if arguments.dry_run {
        warn(&session.machine);
        print(&dry_run(&session, arguments.confidence));
        return Ok(OK);
    }
    let options = arguments.finish_options();
    let path = arguments.out.unwrap_or_else(|| format!("wsbench-{}.ndjson", session.session).into());
    let _lock = Lock::take(&arguments.lock)?;
    // Whoever held the lock was measuring until now: what the machine is like is asked when it is free.
    session.machine = Machine::this(&session.build);
    session.started_unix_ms = unix_ms();
    warn(&session.machine);
    bench.begin(session.machine.clone());
    refuse_unfinished_line(&path)?;
    let mut records = Records::append(&path)?;
    records.write(&Line::Session(session.clone()))?;
    let results = Results { sessions: vec![session.clone()], ..Results::default() };
    finish(Begun { bench, session, results, records }, options)
}

/// Says what about a machine spoils results.
fn warn(machine: &Machine) {
    for warning in &machine.warnings {
        say(&format!("note: {warning}"));
    }
}

impl RunArguments {
    fn finish_options(&self) -> FinishOptions {
        // clap refuses a width for a run that is resumed.
        let target = self.target_width.map(|width| Target { width, max_rounds: self.max_rounds });
        let RunArguments { format, slo, confidence, quiet, .. } = *self;
        FinishOptions { format, slo, confidence, target, quiet }
    }
}

/// A session that has not begun, and the programs that it needs.
struct Planned {
    session: Session,
    programs: Vec<Program>,
}

/// Plans a session, and says on stderr what is left out of it.
fn plan(
    arguments: &RunArguments,
    source: LoadSource,
    finder: &Finder,
    build: BuildInfo,
) -> Result<Planned, Stop> {
    let machine = Machine::this(&build);
    let mut selection = selection(arguments, source)?;
    let participants = participants(&arguments.rows, selection.pairing, finder)?;
    let not_possible = workers::leave_out_impossible(&mut selection, &participants, &arguments.scenarios)?;
    for (scenario, reason) in &not_possible {
        say(&format!("{scenario}: left out, it {reason}"));
    }
    resources::resources(&selection.scenarios, machine.usable_memory_bytes())?;
    let left_out = capabilities::left_out(&participants.programs, &selection.scenarios, &participants.pairs)?;
    for (scenario, rows) in &left_out {
        for (row, what) in rows {
            say(&format!("{row}: left out of {scenario}: it does not offer {what}"));
        }
    }
    let finds_rates = selection.scenarios.iter().any(|scenario| scenario.finds_rates);
    refuse_with_found_rates(arguments, finds_rates)?;
    let of_profile = (selection.rounds, selection.rounds_of);
    let mut session = Session {
        schema: SCHEMA,
        session: new_session(),
        command: command_line(),
        started_unix_ms: unix_ms(),
        seed: arguments.seed.unwrap_or_else(|| unix_ms() % 100_000),
        rounds: 0,
        rounds_of: BTreeMap::new(),
        further: Vec::new(),
        profile: selection.profile,
        role: participants.role,
        pairs: participants.pairs,
        baseline: participants.baseline,
        unavailable: participants.unavailable,
        missing: participants.missing,
        started_by: participants.started_by,
        left_out,
        not_possible,
        server_cores: arguments.rows.server_cores,
        objective: finds_rates.then(|| arguments.slo.text()),
        target: None,
        scenarios: selection.scenarios,
        waves: Vec::new(),
        counts: arguments.counts,
        machine,
        build,
    };
    (session.rounds, session.rounds_of) = rounds(arguments, of_profile, &session)?;
    Ok(Planned { session, programs: participants.programs })
}

/// What is known of a curve's rates only while it is measured cannot be planned before.
fn refuse_with_found_rates(arguments: &RunArguments, finds_rates: bool) -> Result<(), Stop> {
    let reason = if !finds_rates {
        return Ok(());
    } else if arguments.target_width.is_some() {
        "--target-width adds rounds to intervals, and a curve whose rates are found has none: give the one or the other"
    } else if arguments.budget.is_some() {
        "--budget plans beforehand, and how many rates of a curve are found is known afterwards: give --rounds, or \
         other scenarios"
    } else {
        return Ok(());
    };
    Err(Stop::usage(reason))
}

/// Rounds of all scenarios, and of those that have others.
fn rounds(
    arguments: &RunArguments,
    of_profile: (Option<u32>, BTreeMap<String, u32>),
    session: &Session,
) -> Result<(u32, BTreeMap<String, u32>), Stop> {
    if let Some(budget) = arguments.budget {
        let Rounds { rounds, fewer } =
            Rounds::within(Duration::from_millis(budget), session, arguments.confidence)?;
        return Ok((rounds, fewer));
    }
    let own = of_profile.1.into_iter();
    if let Some(rounds) = arguments.rounds {
        // Asked for fewer rounds, those that have few do not become more.
        return Ok((rounds, own.filter(|(_, own)| *own < rounds).collect()));
    }
    if let Some(rounds) = of_profile.0 {
        return Ok((rounds, own.collect()));
    }
    let needed = Rounds::needed(session, arguments.confidence);
    // A width is asked for of all scenarios: none has its rounds before the others.
    let needed = match arguments.target_width {
        Some(_) => Rounds { fewer: BTreeMap::new(), ..needed },
        None => needed,
    };
    let Rounds { rounds, fewer } = needed.with(own, session);
    Ok((rounds, fewer))
}

fn selection(arguments: &RunArguments, source: LoadSource) -> Result<Selection, Stop> {
    let named = arguments.profile.is_some() || !arguments.scenarios.is_empty();
    if source == LoadSource::Flags && named {
        return Err(Stop::usage(
            "a scenario's load is part of its name: give either --profile or --scenarios, or a load of your own \
             (--connections, --payload, --duration …)",
        ));
    }
    let mut selection = if source == LoadSource::Flags {
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
