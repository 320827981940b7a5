//! The `wsbench` command.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
#[cfg(target_os = "linux")]
use wsbench::command::guard;
use wsbench::{
    command::{
        check,
        compare::{self, CompareArguments},
        completions::{self, CompletionsArguments},
        drive::{self, DriveArguments},
        export::{self, ExportArguments},
        help::{self, HelpArguments},
        list::{self, ListArguments},
        man::{self, ManArguments},
        report::{self, ReportArguments},
        run::{self, LoadSource, RunArguments},
        schema::{self, SchemaArguments},
        selftest::{self, SelftestArguments},
        soak::{self, SoakArguments},
        table::{self, TableArguments},
        verify::{self, VerifyArguments},
    },
    output::terminal::say,
};

#[derive(Parser)]
#[command(
    version,
    disable_help_subcommand = true,
    about = "Which async runtime should carry a WebSocket service? Measures and compares them",
    long_about = "Runs the same WebSocket server and the same client on every runtime, each in a process of its own, over \
                  real sockets, verifies every answer, and compares what they took.\n\nExit codes: 0 all well, 1 could not \
                  run, 2 usage, 3 verification failed, 4 regression or a condition of --fail-if, 5 finished with failed or missing trials or failed \
                  connections, 6 something could not be judged, 130 and 143 interrupted.",
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
    Table(TableArguments),
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
    ///
    /// The server has to answer every message with itself. `--header`, `--origin`, `--subprotocol` and a user in the URL say
    /// what it wants to hear when a client connects. Under `wss://` the client offers TLS 1.2 and 1.3 with the usual cipher
    /// suites and trusts the system's certificates; `--tls-ca` names others, such as a self-signed one of the server itself.
    ///
    /// 64 connections may be opening at once (`--connecting`). `--connect-rate` begins no more than that many per second, for a
    /// server that limits them.
    ///
    /// Prints what the client saw. Whatever fails or ends early, what was measured by then is printed: Ctrl-C ends the window
    /// and prints the figures so far, connections that fail are counted beneath the figures of the others. --out keeps a
    /// record that `table` and `report` read, --json and --fail-if are for programs.
    ///
    /// Exit codes, the first that applies: 130 and 143 interrupted, 1 nothing was measured, 3 wrong answers, 4 a condition of
    /// --fail-if holds, 5 connections failed or the time limit ended the window, 6 a condition has no value.
    #[command(after_help = "Examples:\n  wsbench drive ws://127.0.0.1:9001/ --connections 10\n  \
                            wsbench drive ws://127.0.0.1:9001/chat --subprotocol v2 --header 'Authorization: Bearer TOKEN'\n  \
                            wsbench drive wss://localhost:8443/ --tls-ca server.pem --rate 1000 --connections 100\n  \
                            wsbench drive wss://127.0.0.1:8443/ --tls-ca server.pem --tls-server-name localhost\n  \
                            wsbench drive wss://user:password@echo.example.com/ --allow-remote --connect-rate 50")]
    Drive(DriveArguments),
    /// Print a JSON Schema
    Schema(SchemaArguments),
    /// Explain a command or a term: `wsbench help paced`
    Help(HelpArguments),
    /// Print the completions of a shell
    Completions(CompletionsArguments),
    /// Write man pages
    Man(ManArguments),
    /// Keep a server that was started by a command: what `run` does with NAME=exec:COMMAND
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Guard,
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let build = build_info::build();
    let code = match arguments.command {
        Command::List(arguments) => list::list(&arguments, build),
        Command::Verify(arguments) => verify::verify(&arguments, build),
        Command::Run(arguments) => run::run(arguments, LoadSource::of(&matches), build),
        Command::Table(arguments) => table::table(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Export(arguments) => export::export(&arguments),
        Command::Check => check::check(&build),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Selftest(arguments) => selftest::selftest(&arguments, build),
        Command::Soak(arguments) => soak::soak(&arguments, build),
        Command::Drive(arguments) => drive::drive(arguments, build),
        Command::Schema(arguments) => schema::schema(&arguments),
        Command::Help(arguments) => help::help(&arguments, Arguments::command()),
        Command::Completions(arguments) => completions::completions(&arguments, Arguments::command()),
        Command::Man(arguments) => man::man(&arguments, Arguments::command()),
        #[cfg(target_os = "linux")]
        Command::Guard => guard::guard(),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err(stop) => {
            say(&format!("error: {stop}"));
            ExitCode::from(stop.code)
        }
    }
}
