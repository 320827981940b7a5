//! Runner of the row `tokio`.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner_cli::main(runner_tokio::ROWS, build_info::build())
}
