//! `run`: the four tests of the original evaluation on one row, printed for a person.

use std::{
    io::IsTerminal,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use bench_core::{
    protocol::{EXIT_FAILED, EXIT_OK, EXIT_USAGE},
    row::BuildInfo,
    spec::Role,
};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use trial::{
    Program, Setup,
    catalogue::{Catalogue, Scenario},
    execute,
    execute::{expected, limit},
    machine::Machine,
    metric::{self, Metric, figures},
    placement::{self, Placement},
    record::{
        Line, Origin, Pair, Position, Record, SCHEMA, Session, Writer, command_line, new_session, unix_ms,
    },
    sample::MachineSampler,
};
use units::human;

use crate::print::print;

/// The text of `--help`.
pub(crate) const LONG_ABOUT: &str = "One async runtime as a WebSocket server and client.\n\nWithout a subcommand it runs \
                                     the four tests of the original evaluation (latency, throughput, resources, \
                                     scalability) against a server process of its own and prints each figure beside its \
                                     corrected twin. `describe`, `serve` and `drive` speak the runner protocol \
                                     (docs/PROTOCOL.md) and are what wsbench calls.";

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    /// Where server and client run
    #[arg(long, value_enum, default_value_t = Placement::Shared)]
    placement: Placement,
    /// Also append the records to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs and prints the tests. The server and the client are this same program, in processes of their own.
pub(crate) fn run(row: &str, build: &BuildInfo, arguments: &RunArguments) -> anyhow::Result<u8> {
    let own = std::env::current_exe().context("this program's own file")?;
    let program = Program::describe(&own, &[], row)?;
    if program.info.workloads.is_empty() {
        eprintln!(
            "error: the row `{0}` has no client to test it with: `wsbench run --rows {0}` measures it as a server",
            row
        );
        return Ok(EXIT_USAGE);
    }
    let cores = match placement::choose(arguments.placement, 1, 1) {
        Ok(cores) => cores,
        Err(reason) => {
            eprintln!("error: {reason}");
            return Ok(EXIT_USAGE);
        }
    };
    let mut writer = match &arguments.out {
        None => None,
        Some(path) => match Writer::append(path) {
            Ok(writer) => Some(writer),
            Err(error) => {
                eprintln!("error: {} cannot be written: {error}", path.display());
                return Ok(EXIT_USAGE);
            }
        },
    };
    let catalogue = Catalogue::built_in();
    let scenarios = catalogue.of_profile(&catalogue.profiles["seed"]);
    let origin = Origin {
        session: new_session(),
        seed: 0,
        role: Role::Server,
        compares_clients: true,
        counts: false,
        machine: Machine::this(build),
        build: build.clone(),
    };
    let pair = Pair { server: row.to_owned(), client: row.to_owned() };
    let mut keep = |line: &Line| match &mut writer {
        None => Ok(()),
        Some(writer) => writer.write(line).context("the records cannot be written"),
    };
    keep(&Line::Session(session(&origin, &scenarios, &pair)))?;

    let progress = Progress::start(&scenarios);
    let mut machine = MachineSampler::new();
    let mut records = Vec::new();
    for (block, scenario) in (0..).zip(&scenarios) {
        progress.show(scenario);
        let setup = Setup {
            scenario,
            pair: &pair,
            server: &program,
            client: &program,
            placement: arguments.placement,
            cores: &cores,
            threads: 1,
        };
        let position = Position { round: 0, block, attempt: 0, order: 0 };
        let record = execute(&origin, position, setup, limit(scenario), &mut machine);
        keep(&Line::Trial(record.clone()))?;
        records.push(record);
    }
    progress.end();

    let note = if build.is_release() {
        "One run of one row: `wsbench run --profile seed` compares rows."
    } else {
        "This is not a release build: optimised, but not what comparisons are made of. `cargo run --release` is."
    };
    let heading = heading(&program, &records[0], build);
    print(&format!("{heading}{}\n\n{note}\n", tests(&records)))?;
    let failed = records.iter().filter(|record| record.error.is_some()).count();
    Ok(if failed == 0 { EXIT_OK } else { EXIT_FAILED })
}

fn session(origin: &Origin, scenarios: &[Scenario], pair: &Pair) -> Session {
    Session {
        schema: SCHEMA,
        session: origin.session.clone(),
        command: command_line(),
        started_unix_ms: unix_ms(),
        seed: origin.seed,
        rounds: 1,
        rounds_of: Default::default(),
        further: Default::default(),
        profile: Some("seed".to_owned()),
        role: origin.role,
        pairs: vec![pair.clone()],
        baseline: pair.server.clone(),
        unavailable: Default::default(),
        missing: false,
        started_by: Vec::new(),
        server_cores: 1,
        left_out: Default::default(),
        counts: origin.counts,
        not_possible: Default::default(),
        scenarios: scenarios.to_vec(),
        waves: Vec::new(),
        objective: None,
        target: None,
        machine: origin.machine.clone(),
        build: origin.build.clone(),
    }
}

fn heading(program: &Program, record: &Record, build: &BuildInfo) -> String {
    let info = &program.info;
    let status = info.status.as_ref().map_or(String::new(), |status| format!(" ({status})"));
    let where_ = match record.cores.server.first() {
        None => "not pinned: not available on this system".to_owned(),
        Some(server) if record.cores.client == record.cores.server => format!("both ends on core {server}"),
        Some(server) => format!("server on core {server}, client on core {}", record.cores.client[0]),
    };
    let commit: String = build.commit.chars().take(10).collect();
    let dirty = if build.dirty { ", changed" } else { "" };
    format!(
        "{}{status} · {} {} · {} · {}\n{}\n{where_} · {} build {commit}{dirty} · {}\n\n",
        info.row,
        info.runtime,
        info.runtime_version,
        info.scheduler,
        info.websocket,
        record.machine.summary(),
        build.profile,
        build.rustc,
    )
}

/// One printed line: the test, whether it is the original figure or its corrected twin, what it is, and where it comes
/// from.
struct Figure {
    test: &'static str,
    reading: &'static str,
    what: &'static str,
    scenario: &'static str,
    metric: Metric,
}

const fn figure(
    test: &'static str,
    reading: &'static str,
    what: &'static str,
    scenario: &'static str,
    metric: Metric,
) -> Figure {
    Figure { test, reading, what, scenario, metric }
}

/// The four tests. docs/SEED.md says what each original figure measured and why its twin stands beside it.
const FIGURES: &[Figure] = &[
    figure(
        "latency",
        "seed",
        "first push, once connected (median of 200)",
        "seed-latency",
        metric::FIRST_PUSH_P50,
    ),
    figure(
        "",
        "seed",
        "first push, connecting included (median of 200)",
        "seed-latency",
        metric::CONNECT_TO_FIRST_PUSH_P50,
    ),
    figure("", "corrected", "round trip of 24 B, p50", "seed-latency-rtt", metric::P50),
    figure("", "corrected", "round trip of 24 B, p99", "seed-latency-rtt", metric::P99),
    figure("", "corrected", "round trip of 24 B, p99.9", "seed-latency-rtt", metric::P99_9),
    figure("throughput", "seed", "10,000 × 24 B, until sent", "seed-throughput", metric::SEND_RATE),
    figure("", "corrected", "10,000 × 24 B, until acknowledged", "seed-throughput", metric::RATE),
    figure("resources", "seed", "CPU of the whole machine, idle", "seed-resources-idle", metric::MACHINE_CPU),
    figure("", "seed", "memory of the whole machine, idle", "seed-resources-idle", metric::MACHINE_MEMORY),
    figure("", "corrected", "100 connections echo: messages", "seed-resources", metric::RATE),
    figure("", "corrected", "server CPU per message", "seed-resources", metric::SERVER_CPU),
    figure("", "corrected", "server context switches per message", "seed-resources", metric::SERVER_SWITCHES),
    figure("", "corrected", "server peak memory", "seed-resources", metric::SERVER_RSS_PEAK),
    figure("", "corrected", "client CPU per message", "seed-resources", metric::CLIENT_CPU),
    figure("", "corrected", "client context switches per message", "seed-resources", metric::CLIENT_SWITCHES),
    figure("", "corrected", "client peak memory", "seed-resources", metric::CLIENT_RSS_PEAK),
    figure(
        "scalability",
        "seed",
        "100 clients × 20 pushes at 1 Hz, total",
        "seed-scalability",
        metric::TOTAL_TIME,
    ),
    figure("", "corrected", "lag of a push behind its due time, p50", "seed-scalability", metric::LAG_P50),
    figure("", "corrected", "lag of a push behind its due time, p99", "seed-scalability", metric::LAG_P99),
    figure("", "corrected", "lag of a push behind its due time, max", "seed-scalability", metric::LAG_MAX),
];

fn tests(records: &[Record]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["test", "reading", "figure", "value"]);
    if let Some(values) = table.column_mut(3) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    let mut named_failures = Vec::new();
    for figure in FIGURES {
        let record = records.iter().find(|record| record.scenario.name == figure.scenario);
        let failure = record.and_then(|record| record.error.as_ref());
        let value = match (record, failure) {
            (Some(record), None) => match figures(record).get(figure.metric.name) {
                Some(value) => human(*value, figure.metric.unit),
                None => "not available on this system".to_owned(),
            },
            (_, Some(failure)) => {
                let named = format!("{} failed: {failure}", figure.scenario);
                if !named_failures.contains(&named) {
                    named_failures.push(named);
                }
                "failed".to_owned()
            }
            (None, None) => "not run".to_owned(),
        };
        table.add_row([figure.test, figure.reading, figure.what, &value]);
    }
    named_failures.insert(0, table.trim_fmt());
    named_failures.join("\n")
}

/// What is running and how long it still takes, on a terminal; a line for each scenario elsewhere.
struct Progress {
    bar: ProgressBar,
    start: Instant,
    total: Duration,
}

impl Progress {
    fn start(scenarios: &[Scenario]) -> Progress {
        let total: Duration = scenarios.iter().map(expected).sum();
        let bar = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total.as_millis() as u64);
            let style = ProgressStyle::with_template("{elapsed:>3} of about {prefix}  {bar:24}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(format!("{} s", total.as_secs() + 1));
            // A redraw a second is not seen in the figures: the drawing thread is not on the measured core's account.
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        } else {
            ProgressBar::hidden()
        };
        Progress { bar, start: Instant::now(), total }
    }

    fn show(&self, scenario: &Scenario) {
        if self.bar.is_hidden() {
            let left = self.total.saturating_sub(self.start.elapsed());
            eprintln!("{} ({} s left)", scenario.about, left.as_secs() + 1);
        }
        self.bar.set_position(self.start.elapsed().as_millis() as u64);
        self.bar.set_message(scenario.about.clone());
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
