//! Runner of the row `monoio`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    runner_cli::main(runner_monoio::ROWS, build_info::build())
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("monoio: not available here: this row runs on io_uring, which only Linux has");
    ExitCode::from(bench_core::protocol::EXIT_UNAVAILABLE)
}
