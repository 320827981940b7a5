//! The row `tokio-multi`: tokio's work-stealing scheduler.

use bench_core::{
    DriveSpec, Row, RowInfo, ServeSpec,
    protocol::{ClientReport, Control, Ready, ServerReport},
    row::MAX_THREADS,
};
use tokio::runtime::{Builder, Runtime};

use crate::{Tokio, describe};

pub(crate) struct MultiThread;

impl Row for MultiThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(describe("multi_thread, work-stealing", MAX_THREADS, "async-tungstenite"))
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        runtime(spec.threads)?.block_on(bench_core::serve(Tokio, spec, ready))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        runtime(spec.threads)?.block_on(bench_core::drive(Tokio, spec, control))
    }
}

fn runtime(threads: u32) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads as usize).enable_all().build()
}
