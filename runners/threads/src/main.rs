//! Runner of the row `threads`.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner_cli::main(runner_threads::ROWS, build_info::build())
}
