//! Runner of the row `smol`.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner_cli::main(runner_smol::ROWS, build_info::build())
}
