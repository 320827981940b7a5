//! What `cargo bench` is made of: a server and a client in processes of their own, for Criterion to time.
//!
//! The processes are copies of the program that uses this crate: with a hidden first argument it *is* a runner of all
//! rows. Nothing shares a process, because smol and async-std would share one reactor thread in it.

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use bench_core::{
    DriveSpec, Row, ServeSpec,
    spec::{Load, Pacing, SocketSpec},
    tally::reconcile,
};
use trial::{
    ClientConversation, Program, ServerConversation,
    placement::{self, Placement},
    probe,
    process::Process,
};

/// The hidden argument.
const RUNNER: &str = "__runner";

/// Limit on the life of a pair: far beyond what Criterion takes for one function.
const LIMIT: Duration = Duration::from_secs(600);

/// Names of the rows that are compared, in the order of the report: each runtime on one thread.
pub const COMPARED: [&str; 3] = ["tokio", "async-std", "smol"];

fn rows() -> Vec<(&'static str, &'static dyn Row)> {
    [runner_tokio::ROWS, runner_async_std::ROWS, runner_smol::ROWS].concat()
}

/// Runs this process as a runner, when it was started as one. Call it first in `main`.
pub fn runner_main() -> Option<ExitCode> {
    let mut arguments = env::args_os();
    let program = arguments.next()?;
    (arguments.next()? == RUNNER).then(|| {
        runner_cli::main_from(std::iter::once(program).chain(arguments), &rows(), build_info::build())
    })
}

/// A server and a client of one row, connected, on one core.
#[derive(Debug)]
pub struct Pair {
    server: ServerConversation<Process>,
    client: ClientConversation<Process>,
    asked: u64,
}

impl Pair {
    /// Starts both processes of `row` and waits until the client is connected.
    ///
    /// # Errors
    /// When a process does not start or does not get ready.
    pub fn start(row: &str, load: Load) -> anyhow::Result<Pair> {
        let own = env::current_exe().context("this program's own file")?;
        let program = Program::describe(&own, &[RUNNER.to_owned()], row)?;
        let cores = placement::choose(Placement::Shared, 1, 1)?;
        let socket = SocketSpec::default();
        let serve = ServeSpec::on_loopback(1, socket.clone());
        let server = Process::launch(program.command("serve", serve.to_args()), &cores.server, LIMIT)?;
        let mut server = ServerConversation::with(server);
        let addr = server.listening().context("the server")?;
        probe::echo_nonce(addr, None, LIMIT)?;
        let pacing = Pacing::default();
        let drive = DriveSpec { pacing, ..DriveSpec::plain(addr.to_string(), load, socket) };
        let client = Process::launch(program.command("drive", drive.to_args()), &cores.client, LIMIT)?;
        let mut client = ClientConversation::with(client);
        client.ready().context("the client")?;
        Ok(Pair { server, client, asked: 0 })
    }

    /// Ids of the server's and the client's process.
    pub fn ids(&self) -> (u32, u32) {
        (self.server.peer().id(), self.client.peer().id())
    }

    /// The time that the client takes for `n` verified messages (or connects).
    ///
    /// # Errors
    /// When an answer was wrong or missing.
    pub fn measure(&mut self, n: u64) -> anyhow::Result<Duration> {
        self.asked += n;
        self.client.go(Some(n)).context("the client")?;
        let measured = self.client.measured().context("the client")?;
        ensure!(
            measured.units == n,
            "{n} messages were asked for, and the client reported {}",
            measured.units
        );
        Ok(Duration::from_nanos(measured.elapsed_ns))
    }

    /// Ends both processes and compares what they counted with what was asked for.
    ///
    /// # Errors
    /// When the counts differ, or a process does not end in order.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let client = self.client.finish().context("the client")?;
        self.client.exit().context("the client")?;
        let server = self.server.stop().context("the server")?;
        self.server.exit().context("the server")?;
        reconcile(&client.tally, &server.tally, server.dropped())?;
        ensure!(
            client.units == self.asked,
            "{} were asked for and {} were counted",
            self.asked,
            client.units
        );
        Ok(())
    }
}
