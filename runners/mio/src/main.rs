//! Runner of the row `mio`.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner_cli::main(runner_mio::ROWS, build_info::build())
}
