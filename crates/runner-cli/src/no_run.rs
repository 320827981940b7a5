//! Stands in for `run` in a build that leaves it out.

use std::{env, path::Path};

use bench_core::{protocol::EXIT_USAGE, row::BuildInfo};
use clap::Args;

/// The text of `--help`.
pub(crate) const LONG_ABOUT: &str = "One async runtime as a WebSocket server and client.\n\n`describe`, `serve` and `drive` \
                                     speak the runner protocol (docs/PROTOCOL.md) and are what wsbench calls. The four tests \
                                     that a runner prints for a person are left out of this build.";

/// Flags of `run`: there are none.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {}

/// Says which build has it.
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn run(_row: &str, _build: &BuildInfo, _arguments: &RunArguments) -> anyhow::Result<u8> {
    let own = env::current_exe().ok();
    let package = own.as_deref().and_then(Path::file_stem).map(|name| name.to_string_lossy().into_owned());
    eprintln!(
        "error: this build has no `run`, because what is measured leaves it out. `cargo run --release -p {}` builds a \
         program that has it and runs it",
        package.as_deref().unwrap_or("PACKAGE")
    );
    Ok(EXIT_USAGE)
}
