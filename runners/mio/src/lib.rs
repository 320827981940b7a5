//! The row `mio`, a baseline: a readiness loop written by hand over mio and tungstenite, without tasks, wakers or an
//! executor. It is the limit that a runtime is measured against, and a server only.

use anyhow::bail;
use bench_core::{
    DriveSpec, Row, RowInfo, Rows, ServeSpec,
    protocol::{ClientReport, Control, Ready, ServerReport},
    spec::Feature,
};

mod alarm;
mod connection;
mod schedule;
mod server;
mod stream;

/// The rows that this runner offers.
pub const ROWS: &Rows = &[("mio", &Loop)];

struct Loop;

impl Row for Loop {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(RowInfo {
            scheduler: "none: a loop over ready connections".to_owned(),
            io_mode: "readiness (epoll, edge-triggered)".to_owned(),
            websocket: build_info::websocket("tungstenite"),
            workloads: Vec::new(),
            ..RowInfo::new("mio", build_info::version("mio"))
                .without_services(&["publish", "subscribe"])
                .without_features(&[Feature::Tls])
        })
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        server::serve(spec, ready)
    }

    fn drive(&self, _: &DriveSpec, _: Control) -> anyhow::Result<ClientReport> {
        bail!("the row `mio` has no client: it is a server only")
    }
}
