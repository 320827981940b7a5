//! The example of docs/ADDING-A-RUNTIME.md, a runner in another language, is verified and measured like any other.

mod common;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use common::{run, trials, wsbench};
use histogram::Series;
use libtest_mimic::{Arguments, Failed, Trial};

/// The oldest version that has everything the example needs.
const OLDEST_NODE: u32 = 20;

fn main() -> ExitCode {
    let node = node_is_there();
    if !node {
        println!("the example is not tested: Node.js {OLDEST_NODE} or newer is not installed");
    }
    let tests = vec![
        Trial::test("the_example_is_verified", verified).with_ignored_flag(!node),
        Trial::test("the_example_is_measured", measured).with_ignored_flag(!node),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn node_is_there() -> bool {
    let output = Command::new("node").arg("--version").stdin(Stdio::null()).output();
    let version =
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    major.is_some_and(|major: u32| major >= OLDEST_NODE)
}

fn example() -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/runner-node.mjs");
    format!("node@{}", path.display())
}

fn verified() -> Result<(), Failed> {
    let (code, stdout, stderr) = run(wsbench("verify").arg(example()));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("checks passed (server ") && stdout.contains(", client "), "{stdout}");
    Ok(())
}

fn measured() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    for (load, messages) in [("--messages 200", 200), ("--workload window --window 16 --messages 500", 500)] {
        let out = directory.path().join(messages.to_string());
        let mut command = wsbench(&format!("run --pairs all --rounds 1 --warm-up 20ms {load}"));
        command.arg("--rows").arg(format!("tokio,{}", example())).arg("--out").arg(&out);
        let (code, stdout, stderr) = run(&mut command);
        assert_eq!(code, 0, "{stdout}{stderr}");
        let trials = trials(&out);
        assert_eq!(trials.len(), 5, "each with each, and the twin");
        for trial in trials {
            assert_eq!(trial.error, None);
            let report = trial.report().ok_or("no report in a record")?;
            assert_eq!(report.units, messages);
            let round_trip = report.series.get(&Series::RoundTrip).ok_or("no round trips in a record")?;
            assert_eq!(round_trip.histogram()?.len(), messages);
        }
    }
    Ok(())
}
