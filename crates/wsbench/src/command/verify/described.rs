//! Checks of what a row says of itself, and of what its program says of rows that it does not have.

use std::time::Duration;

use bench_core::{
    DriveSpec, RowInfo, ServeSpec, protocol,
    spec::{Load, SocketSpec},
};
use trial::{Program, program::output_within};

use super::{
    fault::{Fault, fault},
    findings::Findings,
};

/// A row that no runner has.
const UNKNOWN: &str = "no-such-row";

/// Nothing has to be started to find that there is no such row; an interpreter takes a second.
const LIMIT: Duration = Duration::from_secs(5);

/// What is wrong with what a row's program says before it works.
pub(super) fn described(program: &Program) -> Findings {
    let mut findings = Findings::default();
    findings.add("version", version(&program.info.runtime_version));
    for command in ["describe", "serve", "drive"] {
        let is_offered = command != "drive" || !program.info.workloads.is_empty();
        if is_offered {
            findings.add("unknown row", unknown_row(program, command));
        }
    }
    findings
}

fn version(stated: &str) -> Result<(), Fault> {
    if stated.split_whitespace().any(is_version) {
        return Ok(());
    }
    Err(fault!("`runtime_version` is `{stated}`, which is not a version: ask the runtime for its own"))
}

/// Whether a word is a version, behind letters as in `v20.1` or `go1.22`: numbers with full stops between them, whatever
/// follows, or a number or a date alone.
fn is_version(word: &str) -> bool {
    let number = word.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    let is_date = || number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    number.starts_with(|first: char| first.is_ascii_digit()) && (number.contains('.') || is_date())
}

/// A runner that takes any name for its own row would be measured under the name of another one.
fn unknown_row(program: &Program, command: &str) -> Result<(), Fault> {
    let args = match command {
        "serve" => ServeSpec::on_loopback(1, SocketSpec::default()).to_args(),
        "drive" => drive_nothing().to_args(),
        _ => Vec::new(),
    };
    let info = RowInfo { row: UNKNOWN.to_owned(), ..program.info.clone() };
    let stranger = Program { info, ..program.clone() };
    let asked = format!("`{command} --row {UNKNOWN}`");
    let due = protocol::EXIT_USAGE;
    let output = output_within(stranger.command(command, args), LIMIT)
        .map_err(|error| fault!("{asked} {error}: exit code {due} was due"))?;
    match output.code {
        Some(code) if code == i32::from(due) => Ok(()),
        Some(code) => Err(fault!("{asked} ended with exit code {code}, and {due} was due")),
        None => Err(fault!("{asked} was ended by a signal, and exit code {due} was due")),
    }
}

/// A load that is not begun: nobody listens at the target.
fn drive_nothing() -> DriveSpec {
    DriveSpec::plain("127.0.0.1:1", Load::default(), SocketSpec::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_numbers() {
        for real in [
            "1.54.1",
            "3.12.4",
            "v20.1",
            "20.20.2",
            "1.95.0 (59807616e 2026-04-14)",
            "1",
            "2026-04-14",
            "go1.22",
            "OTP 27",
            "0.4.0-rc.1+git",
            "1.97.0-nightly",
        ] {
            assert_eq!(version(real), Ok(()));
        }
        for typed in ["yes", "latest", "unknown", "version", "-", "v", "1st", "the newest"] {
            assert!(version(typed).is_err(), "{typed}");
        }
    }
}
