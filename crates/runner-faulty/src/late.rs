//! A client that sends a paced load late.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bench_core::{
    DriveSpec, Job, Runtime, SocketError, Timer,
    drive::Lane,
    protocol::{Control, Drove},
    spec::{Pacing, SocketSpec},
    websocket::{self, WebSocket},
};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// Far more than what counts as late, and than tokio's own timers are.
const LATE: Duration = Duration::from_millis(5);

/// Drives a load with timers that fire late.
pub fn drive(spec: &DriveSpec, control: Control) -> anyhow::Result<Drove> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let spec = DriveSpec { pacing: Pacing::Timers, ..spec.clone() };
    runtime.block_on(bench_core::drive(Late, &spec, control))
}

#[derive(Clone)]
struct Late;

impl Runtime for Late {
    type Stream = TcpStream;
    type Socket = WebSocket<Compat<TcpStream>>;
    type Timer = LateTimer;

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn upgrade(
        &self,
        stream: TcpStream,
        url: &str,
        spec: &SocketSpec,
    ) -> Result<Self::Socket, SocketError> {
        websocket::upgrade(stream.compat(), url, spec).await
    }

    fn timer(&self) -> LateTimer {
        LateTimer
    }

    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<Self::Socket>>> {
        let task = tokio::spawn(job.run());
        async { task.await.ok() }
    }
}

struct LateTimer;

impl Timer for LateTimer {
    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until((at + LATE).into()).await;
    }
}
