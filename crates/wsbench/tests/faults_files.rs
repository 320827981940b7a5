//! Damaged result files: what is wrong is named with file and line, the rest counts, and nothing that is made of it
//! panics.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use clap::{Parser, ValueEnum};
use common::{run, wsbench};
use proptest::prelude::*;
use serde_json::Value;
use wsbench::{
    analysis::{objective::Slo, results::Results, summary::Summary},
    command::compare::{self, CompareArguments},
    output::table::{Format, render},
};

/// A real file: two runs, of a paced load and of a closed loop, of two rows and the twin in two rounds.
fn real() -> &'static [u8] {
    static REAL: OnceLock<Vec<u8>> = OnceLock::new();
    REAL.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out.ndjson");
        for load in ["--messages 100", "--rate 500 --duration 100ms --connections 3"] {
            let arguments = format!("run --rows tokio,threads --warm-up 5ms --rounds 2 --seed 1 {load}");
            let (code, _, stderr) = run(wsbench(&arguments).arg("--out").arg(&out));
            assert_eq!(code, 0, "{stderr}");
        }
        fs::read(&out).unwrap()
    })
}

/// Reads damaged bytes and makes everything of them that can be made.
fn survive(bytes: &[u8]) -> Results {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged.ndjson");
    fs::write(&path, bytes).unwrap();
    let results = Results::read(&[&path]);
    for problem in &results.problems {
        assert!(problem.starts_with(&path.display().to_string()), "{problem}");
    }
    let summary = Summary::new(&results, 0.95);
    for format in Format::value_variants() {
        render(&summary, &results, *format, Slo::default());
    }
    let sound = directory.path().join("sound.ndjson");
    fs::write(&sound, real()).unwrap();
    for (base, new) in [(&path, &sound), (&sound, &path)] {
        // Refused or not: it does not panic.
        let _ = compare::report(&compared(base, new));
    }
    results
}

fn compared(base: &Path, new: &Path) -> CompareArguments {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: CompareArguments,
    }
    let all = "--allow=machine,kernel,version,settings".into();
    let line: [PathBuf; 4] = ["compare".into(), base.into(), new.into(), all];
    Line::parse_from(line.map(PathBuf::into_os_string)).arguments
}

/// The place of the line that holds a byte, from 1.
fn line_of(byte: usize) -> usize {
    real()[..byte].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn names_line(results: &Results, line: usize) -> bool {
    results.problems.iter().any(|problem| problem.contains(&format!("damaged.ndjson:{line}: ")))
}

#[test]
fn cut_at_any_byte() {
    let whole = survive(real());
    assert_eq!((whole.trials.len(), whole.problems.len()), (12, 0), "{:?}", whole.problems);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged.ndjson");
    let last_line = real()[..real().len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    // Every byte of the last line, and a sample of the others.
    for end in (1..last_line).step_by(61).chain(last_line..real().len()) {
        fs::write(&path, &real()[..end]).unwrap();
        let results = Results::read(&[&path]);
        assert_eq!(results.trials, whole.trials[..results.trials.len()], "what is whole is what it was");
        let is_cut = real()[end - 1] != b'\n';
        assert_eq!(results.problems.len(), usize::from(is_cut), "{end}: {:?}", results.problems);
        assert!(!is_cut || names_line(&results, line_of(end)), "{end}: {:?}", results.problems);
    }
}

/// A number, or what stands in its place.
fn numbers() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "0",
        "1",
        "-1",
        "1.5",
        "4294967295",
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
        "1e999",
        "-0.0",
        "NaN",
        "Infinity",
        "null",
        "true",
        "\"1\"",
        "[]",
        "{}",
    ])
}

/// The places of all numbers in a line.
fn number_places(line: &str) -> Vec<(usize, usize)> {
    let bytes = line.as_bytes();
    let mut places = Vec::new();
    let mut start = None;
    for (place, byte) in bytes.iter().enumerate() {
        match (start, byte.is_ascii_digit()) {
            (None, true) if matches!(bytes[place - 1], b':' | b'[' | b',') => start = Some(place),
            (Some(from), false) => {
                places.push((from, place));
                start = None;
            }
            _ => {}
        }
    }
    places
}

/// A line without its checksum, as a program of an earlier version wrote it.
fn unsealed(line: &str) -> String {
    let end = line.rfind(",\"checksum\":\"").unwrap();
    format!("{}}}", &line[..end])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_are_named(byte in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let byte = byte.index(real().len());
        let mut bytes = real().to_vec();
        bytes[byte] ^= 1 << bit;
        let whole = Results::read(&[file_of(real()).path()]);
        let results = survive(&bytes);
        // A flip in the name of the checksum leaves the record as it was.
        let is_harmless = results.trials == whole.trials && results.problems.is_empty();
        prop_assert!(is_harmless || names_line(&results, line_of(byte)), "{:?}", results.problems);
    }

    #[test]
    fn numbers_that_make_no_sense_do_no_harm(
        line in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), numbers()), 1..5),
    ) {
        let text = String::from_utf8(real().to_vec()).unwrap();
        let mut lines: Vec<String> = text.lines().map(unsealed).collect();
        let line = line.index(lines.len());
        for (place, number) in changes {
            let places = number_places(&lines[line]);
            let (start, end) = places[place.index(places.len())];
            lines[line].replace_range(start..end, number);
        }
        survive((lines.join("\n") + "\n").as_bytes());
    }

    #[test]
    fn garbage_is_named(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [real(), &garbage, b"\n"].concat();
        let lines = garbage.iter().filter(|byte| **byte == b'\n').count() + 1;
        prop_assert_eq!(survive(&bytes).problems.len(), lines);
    }
}

fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

/// The real file with one of its lines changed, and no checksums.
fn changed(line: usize, change: impl Fn(&mut Value)) -> Vec<u8> {
    let text = String::from_utf8(real().to_vec()).unwrap();
    let mut lines: Vec<String> = text.lines().map(unsealed).collect();
    let mut value = serde_json::from_str(&lines[line - 1]).unwrap();
    change(&mut value);
    lines[line - 1] = value.to_string();
    (lines.join("\n") + "\n").into_bytes()
}

#[test]
fn what_does_not_belong_is_named() {
    let named = |bytes: &[u8], line: usize, reason: &str| {
        let results = survive(bytes);
        assert!(names_line(&results, line), "{:?}", results.problems);
        assert!(results.problems[0].contains(reason), "{:?}", results.problems);
        assert_eq!(results.problems.len(), 1, "{:?}", results.problems);
    };
    let twice = [real(), real()].concat();
    let results = survive(&twice);
    assert_eq!((results.trials.len(), results.problems.len()), (12, 12));
    assert!(
        results.problems[0].contains("a second record of block 0, attempt 0, place 0"),
        "{:?}",
        results.problems
    );

    named(
        &changed(3, |line| line["schema"] = 9.into()),
        3,
        "a record of schema 9: this program reads schemas 1 to 2",
    );
    named(
        &changed(3, |line| line["machine"]["host"] = "other".into()),
        3,
        "a trial of another machine than its run",
    );
    named(&changed(3, |line| line["clients"][0]["report"]["elapsed_ns"] = 0.into()), 3, "took no time");
    named(
        &changed(3, |line| line["clients"][0]["report"]["units"] = (-1).into()),
        3,
        "no record: invalid value: integer `-1`",
    );
    named(&changed(3, |line| line["round"] = u32::MAX.into()), 3, "round: 4294967295 is out of range");
    named(&changed(1, |line| line["rounds"] = u32::MAX.into()), 1, "a run of 4294967295 rounds");
    named(&changed(1, |line| line["pairs"] = Value::Array(Vec::new())), 1, "a run without rows");
    let sum = |line: &mut Value| line["clients"][0]["report"]["series"]["round_trip"]["sum_ns"] = 1.into();
    named(&changed(3, sum), 3, "cannot sum up to 1 ns");
    let histogram =
        |line: &mut Value| line["clients"][0]["report"]["series"]["round_trip"]["hdr"] = "AAAA".into();
    named(&changed(3, histogram), 3, "the histogram does not decode");
}

/// Trials of several machines in one table: said, and not pooled in silence.
#[test]
fn several_machines_are_said() {
    let text = String::from_utf8(real().to_vec()).unwrap();
    let elsewhere = |line: &str| {
        let mut value: Value = serde_json::from_str(&unsealed(line)).unwrap();
        value["machine"]["host"] = "elsewhere".into();
        let session = value["session"].as_str().unwrap_or_default().to_owned();
        value["session"] = format!("{session}-elsewhere").into();
        value.to_string() + "\n"
    };
    let other: String = text.lines().map(elsewhere).collect();
    let (one, other) = (file_of(real()), file_of(other.as_bytes()));
    let (code, stdout, stderr) = run(wsbench("table").arg(one.path()).arg(other.path()));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("note: trials of 2 machines or kernels (elsewhere, "), "{stdout}");
    let (_, stdout, _) = run(wsbench("table").arg(one.path()));
    assert!(!stdout.contains("note: trials of"), "{stdout}");
}

/// What fuzzing has found, and what was found by reading, stays mended.
#[test]
fn regressions_of_fuzzing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions");
    type Target = fn(&[u8]);
    let targets: [(&str, Target); 3] = [
        ("record", wsbench::fuzz_entry::record),
        ("protocol", wsbench::fuzz_entry::protocol),
        ("profile", wsbench::fuzz_entry::profile),
    ];
    let mut replayed = 0;
    for (target, entry) in targets {
        // A target without a finding has no folder.
        let Ok(files) = fs::read_dir(folder.join(target)) else { continue };
        for file in files.flatten() {
            entry(&fs::read(file.path()).unwrap());
            replayed += 1;
        }
    }
    assert!(replayed > 0, "fuzz/regressions is not where it was");
}
