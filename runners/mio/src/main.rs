//! Runner of the row `mio`.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench_core::cli::main(runner_mio::ROWS, build_info::build())
}
