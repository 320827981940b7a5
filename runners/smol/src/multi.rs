//! The row `smol-multi`: an explicit `Executor` that several threads run, stealing work from each other.

use std::{future::Future, io, panic::AssertUnwindSafe, sync::Arc, thread};

use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Row, RowInfo, Runtime, ServeSpec, ServerTask,
    protocol::{ClientReport, Control, Ready, ServerReport},
    row::MAX_THREADS,
};
use smol::{Executor, channel::unbounded, future::FutureExt};

use crate::{Net, Smol, describe};

pub(crate) struct SeveralThreads;

impl Row for SeveralThreads {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(describe("Executor, work-stealing", MAX_THREADS))
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        on_threads(spec.threads, |executor| bench_core::serve(executor, spec, ready))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        on_threads(spec.threads, |executor| bench_core::drive(executor, spec, control))
    }
}

/// Runs an executor on `threads` threads of its own while `main` runs on this one.
fn on_threads<T, F: Future<Output = T>>(
    threads: u32,
    main: impl FnOnce(Smol<Arc<Executor<'static>>>) -> F,
) -> T {
    let executor = Arc::new(Executor::new());
    let (running, ended) = unbounded::<()>();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| smol::block_on(executor.run(ended.recv())));
        }
        let result = smol::block_on(main(Smol(executor.clone())));
        running.close();
        result
    })
}

impl Runtime for Smol<Arc<Executor<'static>>> {
    type Net = Net;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        self.0.spawn(task.run()).detach();
        Ok(())
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let task = self.0.spawn(task.run());
        async { AssertUnwindSafe(task).catch_unwind().await.ok() }
    }
}
