//! The `wsbench` command.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use bench_core::{
    metric::{self, Metric},
    record::Line,
    spec::{Load, SocketSpec},
};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use wsbench::{
    analysis::{curve::Slo, results::Results, summary::Summary},
    command::{
        compare::{self, CompareArguments},
        drive::{self, DriveArguments},
        export::{self, ExportArguments},
        help::{self, HelpArguments},
        list::{self, ListArguments},
        run::{self, DEFAULT_CONFIDENCE, DEFAULT_SLO, RunArguments, parse_confidence},
        selftest::{self, SelftestArguments},
        soak::{self, SoakArguments},
        verify::{self, VerifyArguments},
    },
    exit::{FAILED, OK, Stop, unknown},
    exit_quietly_on_closed_pipe,
    output::{
        files,
        page::{self, ReportArguments},
        table::{Format, render, schema},
        terminal::say,
    },
    run::resources,
};

#[derive(Parser)]
#[command(
    version,
    disable_help_subcommand = true,
    about = "Which async runtime should carry a WebSocket service? Measures and compares them",
    long_about = "Runs the same WebSocket server and the same client on every runtime, each in a process of its own, over \
                  real sockets, verifies every answer, and compares what they took.\n\nExit codes: 0 all well, 1 could not \
                  run, 2 usage, 3 verification failed, 4 regression, 5 finished with failed or missing trials, 130 and 143 interrupted.",
    after_help = "Examples:\n  wsbench run                                     the quick profile on every row\n  \
                  wsbench run --profile seed --rounds 1           the original comparison\n  \
                  wsbench run --scenarios 'window-*' --rows tokio,smol\n  \
                  wsbench run --connections 500 --payload 2KiB --duration 5s\n  \
                  wsbench table results.ndjson --format markdown\n  \
                  wsbench drive ws://127.0.0.1:9001/ --connections 10"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
// Parsed once.
#[allow(clippy::large_enum_variant)]
enum Command {
    /// List rows, profiles and scenarios
    List(ListArguments),
    /// Check that rows answer as a WebSocket server and ask as a client has to
    Verify(VerifyArguments),
    /// Measure rows and print the table
    ///
    /// Every trial starts a fresh server and a fresh client, pins them, checks readiness by an echo, measures between
    /// two quiet moments and compares what both ends counted. Trials come in rounds of shuffled blocks; each block holds
    /// one scenario with all its rows and the baseline a second time, as the A/A control. Every finished trial is one
    /// line in the result file at once.
    Run(RunArguments),
    /// Print the table of result files again
    Table {
        /// Result files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// How the table is written
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Confidence of intervals and verdicts
        #[arg(long, value_name = "SHARE", value_parser = parse_confidence, default_value_t = DEFAULT_CONFIDENCE)]
        confidence: f64,
        /// Latency objective of a curve: its table names the highest rate that holds it
        #[arg(long, value_name = "OBJECTIVE", value_parser = Slo::parse, default_value = DEFAULT_SLO)]
        slo: Slo,
        /// Metrics beside the one that ranks, separated by commas, such as rate,p99,server_rss_peak
        #[arg(long, value_name = "METRICS", value_delimiter = ',')]
        columns: Vec<String>,
        /// File that the table replaces, whole; stdout when not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make one HTML page of result files
    ///
    /// The page answers first, and has the table, charts, conditions and words in plain language. It is one file that loads
    /// nothing: it can be sent, opened without a network, and printed.
    Report(ReportArguments),
    /// Write trials as CSV, distributions for HdrHistogram's plotter, or the charts of the report
    Export(ExportArguments),
    /// Look at the machine, and say what it means for the results
    ///
    /// What it warns of is part of every record.
    Check,
    /// Compare two runs apart in time, through a control row that both hold
    ///
    /// The way to find a regression is one run: `wsbench run --rows tokio,tokio@PATH` measures two builds of a row in the
    /// same blocks. Where that is not possible, this compares each row's ratio to the control row between the two runs,
    /// and never absolute figures. Exit code 4 is a regression.
    Compare(CompareArguments),
    /// Try the instrument on servers whose behaviour is known
    ///
    /// A server that stalls, one that answers late, one that spends a known time more, a client that sends late, a lost
    /// message, a wrong count, and one row under two names: each has to be seen for what it is.
    Selftest(SelftestArguments),
    /// Keep a server under churn, slow readers and a paced load for a long time
    ///
    /// At the end everything has to add up: messages in and out, open files, and memory, which may grow by 5 % after the
    /// first minute. Exit code 3 where it does not.
    Soak(SoakArguments),
    /// Run one client workload against any echo server
    Drive(DriveArguments),
    /// Print a JSON Schema
    Schema {
        /// Of a line of a result file, or of `table --format json`
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// Explain a command or a term: `wsbench help paced`
    Help(HelpArguments),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write man pages
    Man {
        /// Folder for them
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// What a schema describes.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum SchemaOf {
    /// A line of a result file
    #[default]
    Record,
    /// The figures that `table --format json` prints
    Table,
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match carry_out(arguments.command, &matches) {
        Ok(code) => ExitCode::from(code),
        Err(stop) => {
            say(&format!("error: {stop}"));
            ExitCode::from(stop.code)
        }
    }
}

fn carry_out(command: Command, matches: &ArgMatches) -> Result<u8, Stop> {
    let build = build_info::build();
    match command {
        Command::List(arguments) => {
            exit_quietly_on_closed_pipe(&list::list(&arguments, build)?);
            Ok(OK)
        }
        Command::Verify(arguments) => verify::verify(&arguments, build),
        Command::Run(arguments) => {
            let own_load = matches.subcommand_matches("run").is_some_and(asks_for_own_load);
            run::start(arguments, own_load, build)
        }
        Command::Table { files, format, confidence, slo, columns, out } => {
            table(&files, format, confidence, slo, &columns, out.as_deref())
        }
        Command::Report(arguments) => page::report(&arguments),
        Command::Check => {
            exit_quietly_on_closed_pipe(&resources::report(&build));
            Ok(OK)
        }
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Selftest(arguments) => selftest::selftest(&arguments, build),
        Command::Soak(arguments) => soak::soak(&arguments, build),
        Command::Drive(arguments) => drive::drive(arguments, build),
        Command::Export(arguments) => export::export(&arguments),
        Command::Help(arguments) => help::help(&arguments, Arguments::command()),
        Command::Completions { shell } => Ok(help::completions(shell, Arguments::command())),
        Command::Man { folder } => help::man(&folder, Arguments::command()),
        Command::Schema { of } => {
            let schema = match of {
                SchemaOf::Record => schemars::schema_for!(Line),
                SchemaOf::Table => schema(),
            };
            let json =
                serde_json::to_string_pretty(&schema).map_err(|error| Stop::failed(error.to_string()))?;
            exit_quietly_on_closed_pipe(&(json + "\n"));
            Ok(OK)
        }
    }
}

fn table(
    files: &[PathBuf],
    format: Format,
    confidence: f64,
    slo: Slo,
    columns: &[String],
    out: Option<&Path>,
) -> Result<u8, Stop> {
    let columns = chosen(columns)?;
    let results = Results::read(files);
    if !results.trials.is_empty() {
        let mut summary = Summary::new(&results, confidence);
        if !columns.is_empty() {
            summary.show(&columns);
        }
        let table = render(&summary, &results, format, slo);
        match out {
            Some(path) => files::replace(path, table.as_bytes())?,
            None => exit_quietly_on_closed_pipe(&table),
        }
    }
    for problem in &results.problems {
        say(&format!("error: {problem}"));
    }
    if results.trials.is_empty() && results.problems.is_empty() {
        say(&format!("error: no trial in {}", files[0].display()));
    }
    Ok(if results.problems.is_empty() && !results.trials.is_empty() { OK } else { FAILED })
}

/// The metrics of those names.
fn chosen(names: &[String]) -> Result<Vec<Metric>, Stop> {
    let known: Vec<&str> = metric::ALL.iter().map(|metric| metric.name).collect();
    let by_name = |name: &String| {
        // As headings have it as well: p99.9 and p99_9.
        let name = name.trim().replace('.', "_");
        metric::by_name(&name).ok_or_else(|| unknown("metric", &name, &known))
    };
    names.iter().map(by_name).collect()
}

/// Whether a flag of an ad-hoc load was given, by its value's source: the defaults alone ask for nothing.
fn asks_for_own_load(run: &ArgMatches) -> bool {
    let own = SocketSpec::augment_args(Load::augment_args(clap::Command::new("load")));
    own.get_arguments().any(|flag| run.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine))
}
