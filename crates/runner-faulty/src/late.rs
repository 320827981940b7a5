//! A client that sends a paced load late.

use std::{
    future::Future,
    io,
    time::{Duration, Instant},
};

use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Runtime, ServerTask, Timer,
    protocol::{ClientReport, Control},
    spec::Pacing,
};
use runner_tokio::Tokio;

/// Far more than what counts as late, and than tokio's own timers are.
const LATE: Duration = Duration::from_millis(5);

/// Drives a load with timers that fire late.
pub fn drive(spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let spec = DriveSpec { pacing: Pacing::Timers, ..spec.clone() };
    runtime.block_on(bench_core::drive(Late, &spec, control))
}

/// tokio, with late timers.
#[derive(Clone)]
struct Late;

impl Runtime for Late {
    type Net = Tokio;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        tokio::spawn(task.run());
        Ok(())
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let task = tokio::spawn(task.run());
        async { task.await.ok() }
    }
}

impl Timer for Late {
    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until((at + LATE).into()).await;
    }
}
