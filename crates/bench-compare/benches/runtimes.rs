//! Runtime against runtime, one server and one client process on one core each.
//!
//! These are a quick look and a regression test for a single path: `wsbench run` is the comparison.

use std::{process::ExitCode, time::Duration};

use bench_compare::{COMPARED, Pair, runner_main};
use bench_core::spec::{Connect, Load, Window, Work};
use criterion::{BenchmarkId, Criterion};

fn main() -> ExitCode {
    if let Some(code) = runner_main() {
        return code;
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(50)
        .configure_from_args();
    let base = Load { warm_up_ms: 50, ..Load::default() };
    for payload_bytes in [24, 1_024, 16_384] {
        let load = Load { payload_bytes, ..base.clone() };
        compare(&mut criterion, &format!("round_trip/{payload_bytes}"), &load);
    }
    let window = Load { work: Work::Window(Window::of(64)), ..base.clone() };
    compare(&mut criterion, "window64/24", &window);
    compare(&mut criterion, "connect", &Load { work: Work::Connect(Connect::default()), ..base });
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// One group with a function for each row.
fn compare(criterion: &mut Criterion, name: &str, load: &Load) {
    let mut group = criterion.benchmark_group(name);
    for row in COMPARED {
        // Started when Criterion first asks: a row that the filter leaves out costs nothing.
        let mut pair: Option<Pair> = None;
        group.bench_function(BenchmarkId::from_parameter(row), |bencher| {
            bencher.iter_custom(|n| {
                let pair = pair.get_or_insert_with(|| must(name, row, Pair::start(row, load.clone())));
                must(name, row, pair.measure(n))
            });
        });
        if let Some(pair) = pair {
            must(name, row, pair.finish());
        }
    }
    group.finish();
}

/// A benchmark whose answers are wrong has no result: it ends the run, as Criterion expects.
fn must<T>(name: &str, row: &str, result: anyhow::Result<T>) -> T {
    result.unwrap_or_else(|reason| panic!("{name}/{row}: {reason:#}"))
}
