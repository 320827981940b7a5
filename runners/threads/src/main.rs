//! Runner of the row `threads`.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench_core::cli::main(runner_threads::ROWS, build_info::build())
}
