//! The instrument's own test, and whether it notices when it is broken. Alone in its program: its trials would disturb
//! others, and others them.

mod common;

use common::{run, wsbench};

/// A machine that stands still for longer than the stall that is looked for makes the selftest fail, and rightly so: it
/// cannot measure just then. What is broken fails every time.
const ATTEMPTS: usize = 4;

#[test]
fn it_passes_and_fails_by_name_under_each_of_its_own_faults() {
    let mut said = Vec::new();
    let passes = (0..ATTEMPTS).any(|_| {
        let (code, stdout, stderr) = run(&mut wsbench("selftest --short"));
        let checks = stdout.lines().filter(|line| line.trim_start().starts_with("ok ")).count();
        said.push(format!("{stdout}{stderr}"));
        (code, checks) == (0, 18)
    });
    assert!(passes, "{}", said.join("\n"));
    let stall = "a stall is charged to all that waited";
    for (fault, checks) in [
        ("no-stall", &[stall][..]),
        ("uncorrected", &[stall]),
        ("count-ignored", &["a wrong count fails its trial"]),
        (
            "no-burn",
            &["3 % in a closed loop are found", "a second state in the middle of a run fools no verdict"],
        ),
        ("mark-ignored", &["a client that is full hides no cost"]),
    ] {
        let (code, stdout, stderr) = run(&mut wsbench(&format!("selftest --short --fault {fault}")));
        assert_eq!(code, 3, "{fault}: {stdout}{stderr}");
        let failed = stderr.rsplit("the selftest failed: ").next().unwrap_or_default();
        assert_eq!(failed.trim_end(), checks.join(", "), "{fault}: {stdout}{stderr}");
    }
}
