//! Runner of the row `async-std`.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner_cli::main(runner_async_std::ROWS, build_info::build())
}
