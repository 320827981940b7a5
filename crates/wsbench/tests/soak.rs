//! A soak in its shortest form: everything adds up, and the report says what was there.

mod common;

use common::{run, wsbench};

#[test]
fn twenty_seconds_add_up() {
    let (code, stdout, stderr) = run(&mut wsbench("soak 20s tokio"));
    assert_eq!(code, 0, "{stdout}{stderr}");
    for part in ["churn", "slow readers", "p99.9", "open files", "memory", "no message is unaccounted for"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

#[test]
fn too_little_time_is_refused() {
    let (code, stdout, stderr) = run(&mut wsbench("soak 5s tokio"));
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    assert!(stderr.contains("at least 10 s"), "{stderr}");
}
