//! A client that never sleeps.

use bench_core::{
    DriveSpec,
    protocol::{ClientReport, Control},
};
use runner_tokio::Tokio;

/// Drives a load beside a task that is always ready: whenever there is nothing to do, this client asks for events again.
/// So it is full however slow the server is, and uses as much time a message as the server does.
pub fn drive(spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let always_ready = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let drove = bench_core::drive(Tokio, spec, control).await;
        always_ready.abort();
        drove
    })
}
