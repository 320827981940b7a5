//! The processes behind `cargo bench` exist and count what was asked for. Like the benchmark, this test has a `main` of
//! its own, because its processes are copies of itself.

use std::process::ExitCode;

use bench_compare::{COMPARED, Pair, runner_main};
use bench_core::spec::{Connect, Load, PingPong, Window, Work};
use libtest_mimic::{Arguments, Failed, Trial};
use trial::sample::sample;

fn main() -> ExitCode {
    if let Some(code) = runner_main() {
        return code;
    }
    let works = [
        Work::PingPong(PingPong::default()),
        Work::Window(Window::of(64)),
        Work::Connect(Connect::default()),
    ];
    let tests = COMPARED.into_iter().flat_map(|row| {
        works.clone().map(|work| {
            let load = Load { work, warm_up_ms: 5, ..Load::default() };
            Trial::test(format!("{row}::{}", load.workload().name()), move || pair(row, load))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

fn pair(row: &str, load: Load) -> Result<(), Failed> {
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
