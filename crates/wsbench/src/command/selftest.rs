//! `selftest`: the instrument, tried on servers whose behaviour is known.
//!
//! Each check runs the whole chain, processes and all, and fails when what is known is not seen.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bench_core::{
    row::BuildInfo,
    spec::{Load, Paced, PingPong, Role, Work},
};
use clap::Args;
use comfy_table::{Table, presets};
use histogram::Series;
use trial::{
    Program, Setup,
    catalogue::Scenario,
    execute,
    execute::limit,
    machine::Machine,
    mark::Mark,
    metric,
    placement::{self, Cores, Placement},
    record::{Origin, Pair, Position, Record, new_session},
    sample::MachineSampler,
};

use crate::{
    analysis::{
        statistics::median,
        verdict::{Judged, Sample, Values, Verdict, judge},
    },
    exit::{OK, Stop, VERIFICATION},
    output::print::print,
    run::{
        lock::{Lock, LockArguments},
        rows::Finder,
    },
};

/// Flags of `selftest`.
#[derive(Args, Clone, Debug)]
pub struct SelftestArguments {
    /// Two seconds where ten would do, for a quick look
    #[arg(long)]
    short: bool,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
    #[command(flatten)]
    lock: LockArguments,
    /// A fault in the selftest itself, which has to make it fail: what its own test asks for
    #[arg(long, hide = true, value_name = "FAULT", value_parser = ["no-stall", "uncorrected", "count-ignored"])]
    fault: Option<String>,
}

/// The program whose servers and clients behave in known ways.
const FAULTY: &str = "runner-faulty";

/// Messages a second of the paced checks.
const RATE: u64 = 1_000;

/// Connections of every check.
const CONNECTIONS: u32 = 100;

/// CPU time that the slow row spends on each message: several times what a message costs, far beyond what any phase of
/// a machine adds, and a tenth of the time between two messages.
const BURN_NS: u64 = 100_000;

/// Rounds of the comparison: with so many the interval reaches from the least ratio to the greatest.
const ROUNDS: u32 = 10;

/// Of the comparison. A selftest is repeated, and at 95 % it would miss the known ratio in one of twenty.
const CONFIDENCE: f64 = 0.99;

/// Longest time of the trial whose echo never comes: far beyond what its 200 messages take.
const DROPPED_LIMIT: Duration = Duration::from_secs(4);

/// Runs all checks, prints what was expected and what was seen, and returns the exit code.
///
/// # Errors
/// When the programs are not there, or server and client cannot have a core each.
pub fn selftest(arguments: &SelftestArguments, build: BuildInfo) -> Result<u8, Stop> {
    let mut bench = Bench::new(arguments, build)?;
    let _lock = Lock::take(&arguments.lock)?;
    let mut checks: Vec<fn(&mut Bench) -> Check> =
        vec![stall, late_answers, late_client, dropped, miscounted, burn];
    if arguments.fault.is_some() {
        // The longest one, on which none of the faults acts.
        checks.pop();
    }
    let of = checks.len();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["", "check", "expected", "seen"]);
    let mut failed = Vec::new();
    for (place, check) in checks.into_iter().enumerate() {
        eprintln!("check {} of {of} …", place + 1);
        let check = check(&mut bench);
        for (place, line) in check.lines.iter().enumerate() {
            let verdict = if line.holds { "ok" } else { "FAILED" };
            let name = if place == 0 { check.name } else { "" };
            table.add_row([verdict, name, &line.expected, &line.seen]);
        }
        if check.lines.iter().any(|line| !line.holds) {
            failed.push(check.name);
        }
    }
    print(&format!("{}\n", table.trim_fmt()));
    if failed.is_empty() {
        return Ok(OK);
    }
    eprintln!("error: the selftest failed: {}", failed.join(", "));
    Ok(VERIFICATION)
}

/// What one check saw.
struct Check {
    name: &'static str,
    lines: Vec<Line>,
}

struct Line {
    expected: String,
    seen: String,
    holds: bool,
}

impl Check {
    fn new(name: &'static str) -> Check {
        Check { name, lines: Vec::new() }
    }

    fn expect(mut self, expected: impl Into<String>, seen: impl Into<String>, holds: bool) -> Check {
        self.lines.push(Line { expected: expected.into(), seen: seen.into(), holds });
        self
    }

    /// A percentile that lies within bounds, in milliseconds.
    fn expect_ms(self, what: &str, seen: Option<f64>, least: f64, most: f64) -> Check {
        let shown = seen.map_or("nothing".to_owned(), |ms| format!("{ms:.1} ms"));
        let holds = seen.is_some_and(|ms| (least..=most).contains(&ms));
        self.expect(format!("{what} from {least} to {most} ms"), shown, holds)
    }

    /// A trial that fails with a message that says what was wrong.
    fn expect_failure(self, record: &Record, message: &str) -> Check {
        let seen = record.error.as_ref().map_or("the trial counts".to_owned(), ToString::to_string);
        let holds = seen.contains(message);
        // What it says first is enough for a line.
        let first = seen.split(';').next().unwrap_or_default().to_owned();
        self.expect(format!("a failed trial: … {message}"), first, holds)
    }
}

struct Bench {
    origin: Origin,
    tokio: Program,
    faulty: Program,
    cores: Cores,
    machine: MachineSampler,
    fault: Option<String>,
    window_ms: u64,
    trials: u32,
}

impl Bench {
    fn new(arguments: &SelftestArguments, build: BuildInfo) -> Result<Bench, Stop> {
        let finder = Finder::new(arguments.runner_dir.clone(), build.clone())?;
        let tokio = finder.find("tokio")?;
        let path = tokio.path.with_file_name(FAULTY);
        let faulty = Program::describe(&path, &[], "faulty")
            .map_err(|error| Stop::failed(format!("{error}: `cargo build --workspace` builds it")))?;
        let cores = placement::choose(Placement::Split, 1, 1).map_err(Stop::failed)?;
        Ok(Bench {
            origin: Origin {
                session: new_session(),
                seed: 0,
                role: Role::Server,
                compares_clients: false,
                counts: false,
                machine: Machine::this(&build),
                build,
            },
            tokio,
            faulty,
            cores,
            machine: MachineSampler::new(),
            fault: arguments.fault.clone(),
            window_ms: if arguments.short { 2_000 } else { 10_000 },
            trials: 0,
        })
    }

    fn has_fault(&self, fault: &str) -> bool {
        self.fault.as_deref() == Some(fault)
    }

    /// A program that behaves in a known way.
    fn known(&self, behaviour: &str) -> Program {
        let mut program = self.faulty.clone();
        program.info.environment.insert("WSBENCH_FAULT".to_owned(), behaviour.to_owned());
        program
    }

    fn paced(&self) -> Load {
        Load {
            connections: CONNECTIONS,
            work: Work::Paced(Paced::at(RATE)),
            duration_ms: self.window_ms,
            ..Load::default()
        }
    }

    fn trial(&mut self, server: &Program, client: &Program, load: Load) -> Record {
        self.trial_within(server, client, load, None)
    }

    fn trial_within(
        &mut self,
        server: &Program,
        client: &Program,
        load: Load,
        time: Option<Duration>,
    ) -> Record {
        let scenario = Scenario { placement: Placement::Split, ..Scenario::new("selftest", load) };
        let setup = Setup {
            scenario: &scenario,
            pair: &Pair { server: server.row.clone(), client: client.row.clone() },
            server,
            client,
            placement: Placement::Split,
            cores: &self.cores,
            threads: 1,
        };
        let position = Position { round: 0, block: self.trials, attempt: 0, order: 0 };
        self.trials += 1;
        let time = time.unwrap_or_else(|| limit(&scenario));
        execute(&self.origin, position, setup, time, &mut self.machine)
    }
}

/// A quantile of a series, in milliseconds.
fn quantile_ms(record: &Record, series: Series, q: f64) -> Option<f64> {
    let distribution = record.report()?.series.get(&series)?;
    let ns = distribution.quantile_of_ns(&distribution.histogram().ok()?, q)?;
    Some(ns as f64 / 1e6)
}

/// The whole server stops for a tenth of the window: each of the messages that were intended meanwhile waits for the rest
/// of it, so that the slowest tenth of all is spread evenly over the stall.
fn stall(bench: &mut Bench) -> Check {
    let stall_ms = bench.window_ms / 10;
    let in_the_middle = RATE * bench.window_ms / 1_000 / 2;
    let behaviour =
        if bench.has_fault("no-stall") { String::new() } else { format!("stall:{in_the_middle}:{stall_ms}") };
    let record = bench.trial(&bench.known(&behaviour), &bench.tokio.clone(), bench.paced());
    let series = if bench.has_fault("uncorrected") { Series::RoundTrip } else { Series::FromIntended };
    let stall_ms = stall_ms as f64;
    Check::new("a stall is charged to all that waited")
        .expect_ms("p95", quantile_ms(&record, series, 0.95), 0.4 * stall_ms, 0.6 * stall_ms)
        .expect_ms("p99", quantile_ms(&record, series, 0.99), 0.8 * stall_ms, stall_ms)
}

/// Two messages of a hundred are answered 20 ms late. One of a hundred would be exactly what p99 leaves out.
fn late_answers(bench: &mut Bench) -> Check {
    let record = bench.trial(&bench.known("late:50:20"), &bench.tokio.clone(), bench.paced());
    Check::new("late answers show in p99 and not in p50")
        .expect_ms("p99", quantile_ms(&record, Series::FromIntended, 0.99), 20.0, 60.0)
        .expect_ms("p50", quantile_ms(&record, Series::FromIntended, 0.5), 0.0, 10.0)
}

fn late_client(bench: &mut Bench) -> Check {
    let record = bench.trial(&bench.tokio.clone(), &bench.known("client-late"), bench.paced());
    let marks: Vec<&str> = record.marks.iter().map(|mark| mark.name()).collect();
    let holds = record.marks.contains(&Mark::GeneratorLate);
    Check::new("a client that sends late is marked").expect(
        Mark::GeneratorLate.name(),
        marks.join(", "),
        holds,
    )
}

fn closed_loop(messages: u64) -> Work {
    Work::PingPong(PingPong { messages: Some(messages), burn_us: 0 })
}

/// An echo that never comes: nothing but the trial's time can tell.
fn dropped(bench: &mut Bench) -> Check {
    let load = Load { work: closed_loop(200), ..Load::default() };
    let (server, client) = (bench.known("drop"), bench.tokio.clone());
    let record = bench.trial_within(&server, &client, load, Some(DROPPED_LIMIT));
    Check::new("a lost message fails its trial").expect_failure(&record, "within the trial's")
}

fn miscounted(bench: &mut Bench) -> Check {
    let load = Load { work: closed_loop(200), ..Load::default() };
    let mut record = bench.trial(&bench.known("count"), &bench.tokio.clone(), load);
    if bench.has_fault("count-ignored") {
        record.error = None;
    }
    Check::new("a wrong count fails its trial").expect_failure(&record, "but the server received")
}

/// A row that spends a known time more, and the same row under a second name.
///
/// The load is one in which the burnt time is all that differs: the client spins and never has to be woken, and the server
/// sleeps before every message, burning or not. In a closed loop a server that is slower than its client has to wake it at
/// each answer, which costs it microseconds more.
fn burn(bench: &mut Bench) -> Check {
    let load = Load { duration_ms: bench.window_ms / 10, ..bench.paced() };
    let servers = [
        bench.known(""),
        bench.known(&format!("burn:{BURN_NS}")),
        bench.known(""),
        // The twin.
        bench.known(""),
    ];
    let mut values = vec![Values::new(); servers.len()];
    let mut errors: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        // No shuffling is needed where the difference looked for is this large; only no row should always be first.
        for place in (0..servers.len()).map(|place| (place + round as usize) % servers.len()) {
            let record = bench.trial(&servers[place], &bench.tokio.clone(), load.clone());
            let figures = metric::figures(&record);
            match figures.get(metric::SERVER_CPU.name) {
                Some(cpu) => {
                    values[place].insert((String::new(), round), *cpu);
                }
                None => {
                    let reason = record.error.map_or("no CPU time".to_owned(), |error| error.to_string());
                    *errors.entry(reason).or_default() += 1;
                }
            }
        }
    }
    let check = Check::new("a known cost is found, and the same row is a tie");
    if let Some((reason, count)) = errors.first_key_value() {
        return check.expect("trials that count", format!("{count} failed: {reason}"), false);
    }
    let twin = values.pop().unwrap_or_default();
    let base: Vec<f64> = values[0].values().copied().collect();
    let known = 1.0 + BURN_NS as f64 / median(&base);
    let judgement = judge(
        &Sample { rows: values, baseline: Some(0), twin, ..Sample::default() },
        metric::SERVER_CPU,
        CONFIDENCE,
    );
    let [_, slow, same] = judgement.rows[..] else { return check };
    let holds_known = slow.interval.is_some_and(|(low, high)| (low..=high).contains(&known));
    check
        .expect(
            format!("slower, {known:.2} times in the interval"),
            shown(&slow),
            slow.verdict == Verdict::Greater && holds_known,
        )
        .expect("tie", shown(&same), same.verdict == Verdict::Tie)
}

fn shown(judged: &Judged) -> String {
    let word = match judged.verdict {
        Verdict::Greater => "slower",
        Verdict::Less => "faster",
        Verdict::Tie => "tie",
        Verdict::Baseline | Verdict::TooFew { .. } => "no verdict",
    };
    let ratio = judged.ratio.map_or(String::new(), |ratio| format!(", {ratio:.2} times"));
    let interval = judged.interval.map_or(String::new(), |(low, high)| format!(" [{low:.2} … {high:.2}]"));
    format!("{word}{ratio}{interval}")
}
