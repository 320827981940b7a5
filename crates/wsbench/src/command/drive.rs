//! `drive`: one client workload against any echo server. The client's figures only, and no ranking.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bench_core::{
    DriveSpec,
    protocol::ClientReport,
    row::BuildInfo,
    spec::{AnyServer, Feature, LoadFlags, Pacing, Scheme, SocketSpec, Target, Workload, take_user},
};
use clap::{Args, ValueEnum};
use indicatif::HumanDuration;
use trial::{
    Failure, Program,
    process::Process,
    record::{Session, public_url},
    thread_limits,
};
use units::parse_millis;

use crate::{
    exit::{FAILED, INCOMPLETE, NOT_JUDGED, OK, REGRESSION, Stop, VERIFICATION},
    output::{print::print, terminal::say},
    run::{
        lock::{Lock, LockArguments},
        resources,
        rows::Finder,
        signals,
    },
};

mod client;
mod condition;
mod figures;
mod progress;
mod reach;
mod record;
mod seen;
mod step;

use client::{Driven, Lost, Started, converse};
use condition::{Condition, Judged};
use figures::Figures;
use progress::{Progress, SLOW};
use reach::{Reach, ReachFlags};
use record::Kept;
use seen::Seen;
pub use seen::schema;

/// Time that starting the client may take, and whatever else the machine does.
const SLACK: Duration = Duration::from_secs(20);

/// How the figures are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// For a person
    #[default]
    Terminal,
    /// One object, for programs
    Json,
}

/// Flags of `drive` that say what becomes of the figures.
#[derive(Args, Clone, Debug)]
struct ResultArguments {
    /// What fails the command: a figure, < or >, and a value, such as `p99>5ms` or `failed>1%`; several are possible
    ///
    /// Figures: p50, p90, p99, p99_9, p99_99 and max (times, such as 200us), rate (1000 or 20k/s), failed (connections, such as 0,
    /// or a share of them, such as 1%), not_sent (messages). A condition that holds ends with exit code 4. One without a value,
    /// such as a latency of idle connections, is named and ends with 6. Wrong answers (3) come before a condition that holds,
    /// and that before connections that failed (5); an interruption (130, 143) comes before all of them.
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse)]
    fail_if: Vec<Condition>,
    /// File that a record is appended to, for `wsbench table` and `wsbench report`
    ///
    /// It is the record of a trial, but only the client counted. The row is named after the server's host, port and path.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How the figures are written
    #[arg(long, value_enum, default_value_t)]
    format: Layout,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print only errors on stderr while the server is driven
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    lock: LockArguments,
}

impl ResultArguments {
    fn layout(&self) -> Layout {
        if self.json { Layout::Json } else { self.format }
    }
}

/// Flags of `drive`.
#[derive(Args, Clone, Debug)]
pub struct DriveArguments {
    /// The server: ws://HOST:PORT/PATH, or wss://… for TLS. It has to answer every message with itself. A user in it,
    /// ws://USER:PASSWORD@HOST/, is sent as Basic authorization
    url: String,
    /// What the client says and accepts when it connects.
    #[command(flatten)]
    reach: ReachFlags,
    /// Row of the client
    #[arg(long = "client-row", visible_alias = "row", value_name = "ROW", default_value = "tokio")]
    row: String,
    /// What a paced load waits with
    #[arg(long, value_enum, default_value = "spin")]
    pacing: Pacing,
    /// Connections that may be opening at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    connecting: u32,
    /// Most connections to begin per second; as many as --connecting allows when not given
    #[arg(long, value_name = "N")]
    connect_rate: Option<u32>,
    /// How long after the end of the load an answer may still come
    #[arg(long, value_name = "TIME", value_parser = parse_millis, default_value = "5s")]
    answer_timeout: u64,
    /// Messages that the server sends on its own once a connection is open: they are read and left out
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u32,
    #[command(flatten)]
    results: ResultArguments,
    /// Allow a server that is not on this machine. Only use this against servers that are yours
    #[arg(long)]
    allow_remote: bool,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
    /// The load.
    #[command(flatten)]
    load: LoadFlags,
    /// Its connections.
    #[command(flatten)]
    socket: SocketSpec,
}

/// Runs the workload and prints what the client saw: whatever was measured, and beneath it what failed.
///
/// # Errors
/// When the target is not a WebSocket address or not on this machine, the load is impossible, somebody else measures, or
/// nothing was measured.
pub fn drive(arguments: DriveArguments, build: BuildInfo) -> Result<u8, Stop> {
    let plan = Plan::new(arguments, build.clone())?;
    let _lock = Lock::take(&plan.results.lock)?;
    let session = record::session(&plan.target, &plan.spec, &plan.program, build);
    let kept = Kept::begin(plan.results.out.as_deref(), &session)?;
    let what = match plan.stops() {
        true => "the figures so far are printed",
        false => "the client cannot be stopped before its end, and its figures are lost",
    };
    signals::listen(move |signal| say(&format!("{}: {what}; once more ends at once", signal.name())))?;
    let start = Instant::now();
    let result = plan.carry_out()?;
    let drive = Drive { plan, session, kept, took: start.elapsed() };
    match result {
        Ok(driven) => drive.finish(&driven),
        Err(lost) => drive.lose(&lost),
    }
}

/// What is to be done.
struct Plan {
    target: Target,
    spec: DriveSpec,
    program: Program,
    results: ResultArguments,
    /// Its files are gone with it.
    _reach: Reach,
}

impl Plan {
    fn new(mut arguments: DriveArguments, build: BuildInfo) -> Result<Plan, Stop> {
        let (url, user) = take_user(&arguments.url).map_err(Stop::usage)?;
        arguments.url = url;
        let target = Target::parse(&arguments.url).map_err(|error| Stop::usage(format!("{error:#}")))?;
        if !target.is_own() && !arguments.allow_remote {
            return Err(Stop::usage(format!(
                "{} is not on this machine: give --allow-remote if the server is yours",
                target.authority
            )));
        }
        // A rate says what is wanted.
        if arguments.load.rate_per_s.is_some() && arguments.load.workload == Workload::default() {
            arguments.load.workload = Workload::Paced;
        }
        let workload = arguments.load.workload;
        if !matches!(workload, Workload::PingPong | Workload::Window | Workload::Idle | Workload::Paced) {
            return Err(Stop::usage(format!(
                "the workload {} needs wsbench's own server; any echo server can be driven with ping-pong, window, paced \
                 and idle",
                workload.name()
            )));
        }
        let program = Finder::new(arguments.runner_dir.clone(), build)?.find(&arguments.row)?;
        let results = arguments.results.clone();
        let tls = arguments.socket.tls || target.scheme == Some(Scheme::Wss);
        let reach = arguments.reach.clone().read(user, tls)?;
        let spec = spec(arguments, &target, &program, &reach)?;
        let (connections, each) = (spec.load.connections, program.info.threads_per_connection);
        resources::open_files([("this load", connections)])?;
        resources::threads("this load", connections, &[(&program.row, each)], &thread_limits())?;
        Ok(Plan { target, spec, program, results, _reach: reach })
    }

    /// Whether the client can be stopped before its end and reports what it has.
    fn stops(&self) -> bool {
        self.spec.any_server.is_some()
    }

    /// Starts the client and lets it go through its load.
    fn carry_out(&self) -> Result<Result<Driven, Box<Lost>>, Stop> {
        let load = &self.spec.load;
        let expected = load.expected() + Duration::from_millis(load.warm_up_ms);
        if expected > SLOW && !self.results.quiet {
            say(&format!("driving {} for about {}", public_url(&self.spec.target), HumanDuration(expected)));
        }
        let limit = limit(&self.spec);
        let process = Process::launch(self.program.command("drive", self.spec.to_args()), &[], limit);
        let process = process.map_err(Stop::failed)?;
        let window = load.messages().is_none().then(|| Duration::from_millis(load.window_ms()));
        let progress = Progress::start(load.connections, window, self.results.quiet);
        Ok(converse(Started { process, connections: load.connections, stops: self.stops(), limit }, progress))
    }
}

/// What the client is started with.
fn spec(
    arguments: DriveArguments,
    target: &Target,
    program: &Program,
    reach: &Reach,
) -> Result<DriveSpec, Stop> {
    let tls = reach.tls.is_some();
    let url = match (target.scheme, tls) {
        (Some(_), _) => arguments.url,
        (None, false) => format!("ws://{}/", arguments.url),
        (None, true) => format!("wss://{}/", arguments.url),
    };
    let DriveArguments { connecting, connect_rate, answer_timeout, skip, .. } = arguments;
    let any_server = AnyServer { connecting, connect_rate, answer_timeout_ms: answer_timeout, skip };
    let can = program.info.features.contains(&Feature::AnyServer);
    if !can && connect_rate.is_none() {
        say(&format!(
            "note: the row {} opens one connection after the other, does not read while it waits, and ends with the first \
             failure; tokio does better",
            program.row
        ));
    }
    let spec = DriveSpec {
        target: url,
        threads: 1,
        pacing: arguments.pacing,
        headers: reach.headers.clone(),
        subprotocols: reach.subprotocols.clone(),
        tls: reach.tls.clone(),
        // Without it a row opens one connection after the other, but not at a rate.
        any_server: (can || connect_rate.is_some()).then_some(any_server),
        load: arguments.load.try_into().map_err(Stop::usage)?,
        socket: SocketSpec { tls, ..arguments.socket },
    };
    spec.validate().map_err(Stop::usage)?;
    if let Some(feature) = spec.needs().into_iter().find(|needed| !program.info.features.contains(needed)) {
        return Err(Stop::usage(format!(
            "the row `{}` does not offer the feature `{}`, which this load needs: give another one with --client-row, such \
             as tokio",
            program.row,
            feature.name()
        )));
    }
    Ok(spec)
}

/// How long the client may take: each of its steps with its own limit.
fn limit(spec: &DriveSpec) -> Duration {
    let (at_once, answer_timeout) = spec
        .any_server
        .map_or((1, Duration::ZERO), |any| (any.connecting, Duration::from_millis(any.answer_timeout_ms)));
    let connecting = spec.socket.handshake_timeout() * spec.load.connections.div_ceil(at_once);
    let phases = spec.load.expected() * 3 + Duration::from_millis(spec.load.warm_up_ms) + answer_timeout * 2;
    let at_rate = spec.any_server.and_then(|any| any.connect_rate);
    let waiting =
        at_rate.map_or(Duration::ZERO, |rate| Duration::from_secs(spec.load.connections.into()) / rate);
    connecting + waiting + phases + spec.socket.close_timeout() + SLACK
}

/// A drive that is over.
struct Drive {
    plan: Plan,
    session: Session,
    kept: Kept,
    took: Duration,
}

impl Drive {
    /// Prints and keeps what a client reported, and returns the exit code.
    fn finish(mut self, driven: &Driven) -> Result<u8, Stop> {
        let Plan { spec, program, results, .. } = &self.plan;
        let Driven { report, cut, .. } = driven;
        let signal = cut.and_then(|cut| cut.signal());
        let is_empty = cut.is_some() && report.elapsed_ns == 0;
        let failure = record::failure(report, spec.load.workload()).filter(|_| !is_empty);
        let record = record::trial(&self.session, spec, program, self.took, Some(driven), failure.clone());
        let figures = Figures::new(report, spec);
        let judged: Vec<Judged<'_>> =
            results.fail_if.iter().map(|condition| condition.judge(&figures)).collect();

        // Neither is lost where the other fails: a disk may be full, and a reader of stdout gone, which ends this program.
        let kept = self.kept.end(&self.session, (!is_empty).then(|| record.clone()), signal);
        if let Some(Failure { message, .. }) = &failure {
            say(&format!("error: {}: {message}", public_url(&spec.target)));
        } else {
            let seen = Seen { spec, record: &record, report, figures: &figures, cut: *cut, judged: &judged };
            match results.layout() {
                Layout::Terminal if is_empty => {}
                Layout::Terminal => print(&seen.text()),
                Layout::Json => print(&seen.json()),
            }
            judged.iter().filter(|judged| judged.holds() != Some(false)).for_each(|judged| {
                say(&judged.to_string());
            });
        }
        if let Some(said) = cut.and_then(|cut| cut.said(report, spec.load.connections)) {
            say(&said);
        }
        kept?;
        if let Some(signal) = signal {
            return Ok(signal.exit_code());
        }
        Ok(if failure.is_some() { FAILED } else { code(report, &judged, cut.is_some()) })
    }

    /// Says why there is no report, keeps that, and returns the exit code.
    fn lose(mut self, lost: &Lost) -> Result<u8, Stop> {
        let Plan { spec, program, .. } = &self.plan;
        if let Some(signal) = lost.cut.and_then(|cut| cut.signal()) {
            self.kept.end(&self.session, None, Some(signal))?;
            say(&format!("{}: the client of the row `{}` has no figures", signal.name(), program.row));
            return Ok(signal.exit_code());
        }
        let failure = lost.failure(spec.load.connections, limit(spec));
        say(&format!("error: {}: {}", public_url(&spec.target), failure.message));
        let record = record::trial(&self.session, spec, program, self.took, None, Some(failure));
        self.kept.end(&self.session, Some(record), None)?;
        Ok(FAILED)
    }
}

/// The exit code of a drive that no signal ended: a wrong answer is worse than a condition that holds, which somebody asked for,
/// and that worse than connections that failed.
fn code(report: &ClientReport, judged: &[Judged<'_>], is_cut: bool) -> u8 {
    if report.failures.iter().any(|failure| failure.is_wrong_answer) {
        VERIFICATION
    } else if judged.iter().any(|judged| judged.holds() == Some(true)) {
        REGRESSION
    } else if report.failed_connections > 0 || is_cut {
        INCOMPLETE
    } else if judged.iter().any(|judged| judged.holds().is_none()) {
        NOT_JUDGED
    } else {
        OK
    }
}
