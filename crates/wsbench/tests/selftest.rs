//! The instrument's own test, and whether it notices when it is broken. Alone in its program: its trials would disturb
//! others, and others them.

mod common;

use common::{run, wsbench};

#[test]
fn it_passes_and_fails_by_name_under_each_of_its_own_faults() {
    let (code, stdout, stderr) = run(&mut wsbench("selftest --short"));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(stdout.lines().filter(|line| line.trim_start().starts_with("ok ")).count(), 9, "{stdout}");
    for (fault, check) in [
        ("no-stall", "a stall is charged to all that waited"),
        ("uncorrected", "a stall is charged to all that waited"),
        ("count-ignored", "a wrong count fails its trial"),
    ] {
        let (code, stdout, stderr) = run(&mut wsbench(&format!("selftest --short --fault {fault}")));
        assert_eq!(code, 3, "{fault}: {stdout}{stderr}");
        assert!(stderr.ends_with(&format!("the selftest failed: {check}\n")), "{fault}: {stderr}");
    }
}
