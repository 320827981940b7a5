//! The processes behind `cargo bench` exist and count what was asked for. Like the benchmark, this test has a `main` of
//! its own, because its processes are copies of itself.

use std::process::ExitCode;

use bench_compare::{COMPARED, Pair, runner_main};
use bench_core::spec::{Load, Workload};
use libtest_mimic::{Arguments, Failed, Trial};
use trial::sample::sample;

fn main() -> ExitCode {
    if let Some(code) = runner_main() {
        return code;
    }
    let workloads = [Workload::PingPong, Workload::Window, Workload::Connect];
    let tests = COMPARED.into_iter().flat_map(|row| {
        workloads
            .map(|workload| Trial::test(format!("{}::{}", row, workload.name()), move || pair(row, workload)))
    });
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

fn pair(row: &str, workload: Workload) -> Result<(), Failed> {
    let window = if workload == Workload::Window { 64 } else { 1 };
    let load = Load { workload, window, warm_up_ms: 5, ..Load::default() };
    let mut pair = Pair::start(row, load)?;
    let (server, client) = pair.ids();
    assert_ne!(server, client);
    if cfg!(target_os = "linux") {
        assert!(sample(server).is_some() && sample(client).is_some(), "both processes exist");
    }
    for n in [1, 10, 100] {
        assert!(!pair.measure(n)?.is_zero());
    }
    // The server's count is compared with the sum in here.
    pair.finish()?;
    Ok(())
}
