//! The trait that an async runtime implements: [`Runtime`].

use std::{future::Future, io};

use crate::{Network, Timer, drive, serve};

/// An async runtime: its network, its timers, and how it spawns tasks. Everything else is this crate's.
///
/// A runtime spawns two named types, [`ServerTask`] and [`ClientTask`], whose `run` it polls to the end. They are concrete
/// where a runner implements this trait, so no method needs a `Send` bound: a work-stealing runtime spawns them because
/// they are `Send` there, and a thread-per-core runtime although they are not.
///
/// The value is a handle: each task holds a clone of it.
pub trait Runtime: Timer + Clone + 'static {
    /// TCP and WebSocket on this runtime.
    type Net: Network;

    /// Starts a task that runs [`ServerTask::run`](serve::Task::run) and detaches it.
    ///
    /// The contract, which the tests try on every row:
    /// - The accept loop arrives here as a task too. It must not run inside the future that the runtime was started with:
    ///   many runtimes poll that one whenever any task wakes, and every poll of an accept costs system calls.
    /// - The task is detached. Dropping whatever the runtime returns for it must not cancel it.
    /// - A panic ends this task only. A runtime that lets it through to its executor needs a `catch_unwind` here.
    ///
    /// # Errors
    /// When no task can be started, for instance because the system has no thread left. The connection is dropped.
    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()>;

    /// Starts a task at once that runs [`ClientTask::run`](drive::Task::run). The future completes with its result, or with
    /// `None` if the task panicked.
    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>>;
}

/// What a server spawns on the runtime `R`: its accept loop, and each connection.
pub type ServerTask<R> = serve::Task<<R as Runtime>::Net, R>;

/// What a client spawns on the runtime `R`: one phase of one connection.
pub type ClientTask<R> = drive::Task<<R as Runtime>::Net, R>;

/// A client's connection on the runtime `R`, between two phases.
pub type ClientConnection<R> = drive::Connection<<<R as Runtime>::Net as Network>::Socket>;
