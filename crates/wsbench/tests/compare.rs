//! `compare` as a gate: whatever BASE holds is judged or named, and runs that differ in more than what was changed are refused.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{run, synthetic::Run, wsbench};
use serde_json::Value;
use tempfile::TempDir;
use trial::{Failure, Step, mark::Mark, record::Record};

/// Two runs of the same rows, of which the second may be changed.
struct Runs {
    folder: TempDir,
}

const RUN: Run<'static> = Run {
    rows: &[("threads", 5_000), ("tokio", 5_200), ("smol", 6_000)],
    scenarios: &["rtt-24", "closed-100-shared", "paced-1000"],
    rounds: 10,
    // As many as a p99 needs.
    samples: 1_000,
    matrix: false,
};

impl Runs {
    /// Both runs; every trial of NEW passes through `change` first.
    fn new(change: impl FnMut(&mut Record)) -> Runs {
        let runs = Runs { folder: tempfile::tempdir().unwrap() };
        RUN.write(&runs.base(), |_| {});
        RUN.write(&runs.changed(), change);
        runs
    }

    fn base(&self) -> PathBuf {
        self.folder.path().join("base.ndjson")
    }

    fn changed(&self) -> PathBuf {
        self.folder.path().join("new.ndjson")
    }

    /// Leaves only the lines of NEW that `keep` accepts, as it changed them.
    fn edit(self, keep: impl Fn(&mut Value) -> bool) -> Runs {
        edit(&self.changed(), keep);
        self
    }

    /// Exit code, stdout and stderr of a comparison with these arguments.
    fn compare(&self, arguments: &str) -> (i32, String, String) {
        run(wsbench(&format!("compare {arguments}")).arg(self.base()).arg(self.changed()))
    }
}

fn edit(path: &Path, keep: impl Fn(&mut Value) -> bool) {
    let text = fs::read_to_string(path).unwrap();
    let mut edited = String::new();
    for line in text.lines() {
        let mut value: Value = serde_json::from_str(line).unwrap();
        if keep(&mut value) {
            edited += &format!("{value}\n");
        }
    }
    fs::write(path, edited).unwrap();
}

fn is_trial_of(line: &Value, row: &str) -> bool {
    line["kind"] == "trial" && line["server"]["row"] == row
}

fn fail(record: &mut Record) {
    record.error = Some(Failure { step: Step::Measure, message: "gone".to_owned() });
}

/// Multiplies what a server used.
fn cost(record: &mut Record, factor: f64) {
    let samples = &mut record.server_samples;
    let (before, after) = (samples.ready.unwrap().cpu_ns, samples.measured.as_mut().unwrap());
    after.cpu_ns = before + ((after.cpu_ns - before) as f64 * factor) as u64;
}

/// Checks that something was not judged for a reason, and that it passes once it is allowed by name, and is still printed.
fn is_named(runs: &Runs, scenario_and_row: &str, reason: &str, allow: &str) {
    let (code, stdout, stderr) = runs.compare("");
    let line = format!("not judged: {scenario_and_row}: ");
    let named = stderr.lines().find(|named| named.starts_with(&line));
    assert!(named.is_some_and(|named| named.contains(reason)), "{line}… {reason}\n{stdout}\n{stderr}");
    assert_eq!(code, 6, "{stdout}\n{stderr}");
    let (code, stdout, stderr) = runs.compare(&format!("--allow {allow}"));
    assert_eq!(code, 0, "{stdout}\n{stderr}");
    assert!(stdout.contains(&format!("{reason} (allowed)")), "{stdout}");
}

#[test]
fn equal_runs_are_the_same() {
    let runs = Runs::new(|_| {});
    let (code, stdout, stderr) = runs.compare("");
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.contains("6 same"), "{stdout}");
}

#[test]
fn a_row_that_costs_more_is_a_regression_and_one_that_costs_less_is_better() {
    let runs = Runs::new(|trial| match trial.server.row.as_str() {
        "tokio" => cost(trial, 1.05),
        "smol" => cost(trial, 0.9),
        _ => {}
    });
    let (code, stdout, stderr) = runs.compare("");
    assert_eq!(code, 4, "{stdout}\n{stderr}");
    let regression = "regression: closed-100-shared, tokio: CPU relative to client: +5.0 %";
    assert!(stderr.contains(regression), "{stderr}");
    let better = |line: &&str| line.contains("closed-100-shared") && line.contains("better");
    assert!(stdout.lines().any(|line| better(&line) && line.contains("smol")), "{stdout}");
}

#[test]
fn a_row_that_is_gone_is_named() {
    let runs = Runs::new(|_| {}).edit(|line| !is_trial_of(line, "smol"));
    is_named(&runs, "rtt-24, smol", "missing in NEW", "missing=smol");
    is_named(&runs, "closed-100-shared, smol", "missing in NEW", "missing=smol");
    let only_one = runs.compare("--allow missing=rtt-24/smol");
    assert_eq!(only_one.0, 6, "{}", only_one.2);
}

#[test]
fn a_row_with_another_name_is_missing_and_new() {
    let runs = Runs::new(|trial| {
        if trial.server.row == "smol" {
            trial.server.row = "smoll".to_owned();
        }
    });
    is_named(&runs, "rtt-24, smol", "missing in NEW", "missing=smol");
    let (_, _, stderr) = runs.compare("");
    assert!(stderr.contains("note: smoll is only in NEW, in rtt-24"), "{stderr}");
}

#[test]
fn a_scenario_that_is_gone_is_named() {
    let runs = Runs::new(|_| {}).edit(|line| line["scenario"]["name"] != "rtt-24");
    is_named(&runs, "rtt-24", "missing in NEW", "missing=rtt-24");
    // The other way round there is nothing to judge, and it is said.
    let (code, stdout, stderr) = run(wsbench("compare").arg(runs.changed()).arg(runs.base()));
    assert_eq!(code, 0, "{stdout}");
    assert!(stderr.contains("note: rtt-24 is only in NEW"), "{stderr}");
}

#[test]
fn a_row_that_always_fails_is_named() {
    let runs = Runs::new(|trial| {
        if trial.server.row == "smol" {
            fail(trial);
        }
    });
    is_named(&runs, "rtt-24, smol", "all 10 trials in NEW failed", "failed=smol");
}

#[test]
fn a_row_that_often_fails_has_too_few_blocks() {
    let runs = Runs::new(|trial| {
        if trial.server.row == "smol" && trial.round < 7 {
            fail(trial);
        }
    });
    is_named(&runs, "rtt-24, smol", "needs 7 blocks of each run; BASE has 10, NEW has 3", "too-few=smol");
    // What is left is judged, and the failed trials are counted.
    let runs = Runs::new(|trial| {
        if trial.server.row == "smol" && trial.round < 2 {
            fail(trial);
        }
    });
    let (code, stdout, _) = runs.compare("");
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("10 and 8") && stdout.contains("2 failed in NEW"), "{stdout}");
}

#[test]
fn marks_do_not_disarm_the_gate() {
    let runs = Runs::new(|trial| {
        if trial.server.row == "tokio" {
            trial.marks.insert(Mark::Disturbed);
        }
    });
    is_named(&runs, "rtt-24, tokio", "all 10 trials in NEW are marked disturbed", "marked=tokio");
    // Where it is so for everything as well.
    let runs = Runs::new(|trial| {
        trial.marks.insert(Mark::Disturbed);
    });
    let (code, _, stderr) = runs.compare("");
    assert_eq!((code, stderr.matches("not judged: ").count()), (6, 6), "{stderr}");
}

#[test]
fn a_control_row_that_fails_in_one_scenario_is_named() {
    let runs = Runs::new(|trial| {
        if trial.server.row == "threads" && trial.scenario.name == "rtt-24" {
            fail(trial);
        }
    });
    let reason = "the control row threads has no value in NEW";
    is_named(&runs, "rtt-24, smol", reason, "no-value=rtt-24");
}

#[test]
fn a_run_without_the_control_row_is_refused() {
    let runs = Runs::new(|_| {}).edit(|line| !is_trial_of(line, "threads"));
    let (code, _, stderr) = runs.compare("");
    assert_eq!(code, 2, "{stderr}");
    let wanted = "NEW does not hold the control row `threads`; `--control` names another one: smol, tokio";
    assert!(stderr.contains(wanted), "{stderr}");
}

#[test]
fn too_few_rounds_are_said() {
    let runs = Runs::new(|trial| {
        if trial.server.row == "tokio" {
            cost(trial, 5.0);
        }
    });
    for path in [runs.base(), runs.changed()] {
        edit(&path, |line| line["kind"] != "trial" || line["round"].as_u64().unwrap() < 3);
    }
    for arguments in ["", "--fail-if server_cpu_per_message>3%"] {
        let (code, stdout, stderr) = runs.compare(arguments);
        assert_eq!(code, 6, "{stdout}\n{stderr}");
        assert!(stderr.contains("blocks of each run; BASE has 3, NEW has 3"), "{stderr}");
    }
    // A confidence that no number of rounds reaches disarms nothing either.
    let runs = Runs::new(|_| {});
    assert_eq!(runs.compare("--confidence 0.999999999").0, 6);
}

#[test]
fn a_condition_without_a_value_is_named() {
    let runs = Runs::new(|_| {});
    let (code, stdout, stderr) = runs.compare("--fail-if p99_99>10%");
    assert_eq!(code, 6, "{stdout}\n{stderr}");
    assert!(stderr.contains("p99.99: no value in BASE and NEW"), "{stderr}");
    let (code, _, stderr) = runs.compare("--fail-if server_cpu_per_message>3% --fail-if p99_99>10%");
    assert_eq!(code, 6, "{stderr}");
    let both = "--fail-if server_cpu_per_message>3% --fail-if p99_99>10% --allow no-value=p99_99";
    assert_eq!(runs.compare(both).0, 0);
    // A scenario that is gone does not speak for the others.
    let runs = Runs::new(|_| {}).edit(|line| line["scenario"]["name"] != "rtt-24");
    let (_, _, stderr) = runs.compare("--fail-if p99_99>10%");
    assert!(stderr.contains("closed-100-shared: p99.99: no value in BASE and NEW"), "{stderr}");
    // The loss of a percentile is one of NEW alone.
    let runs = Runs::new(|trial| trial.clients[0].report.as_mut().unwrap().series.clear());
    let (code, _, stderr) = runs.compare("--fail-if p99>10%");
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("rtt-24, smol: p99: no value in NEW"), "{stderr}");
}

#[test]
fn something_that_came_out_of_nothing_is_a_regression() {
    let runs = Runs::new(|trial| {
        if trial.server.row == "smol" && trial.scenario.name == "paced-1000" {
            trial.clients[0].report.as_mut().unwrap().not_sent = 10 + u64::from(trial.round);
        }
    });
    let (code, stdout, stderr) = runs.compare("--fail-if not_sent>1%");
    assert_eq!(code, 4, "{stdout}\n{stderr}");
    assert!(stderr.contains("regression: paced-1000, smol: not sent: 0.00 % → "), "{stderr}");
    assert!(!stderr.contains("tokio"), "{stderr}");
}

#[test]
fn conditions_that_mean_nothing_are_refused() {
    let runs = Runs::new(|_| {});
    for condition in ["p99>nan%", "p99>inf%", "p99>1e999%", "p99<-200%", "p99>-1000%", "p99>3%%%", "p98>1%"] {
        let (code, _, stderr) = runs.compare(&format!("--fail-if {condition}"));
        assert_eq!(code, 2, "{condition}: {stderr}");
    }
}

#[test]
fn runs_that_differ_in_more_than_the_change_are_refused() {
    type Change = fn(&mut Record);
    let cases: [(&str, &str, Change); 8] = [
        ("machine", "of 2 machines", |trial| {
            if trial.block > 20 {
                trial.machine.host = "elsewhere".to_owned();
            }
        }),
        ("kernel", "of 2 kernels", |trial| trial.machine.kernel = "5.4".to_owned()),
        ("version", "smol is of two versions", |trial| {
            if trial.server.row == "smol" {
                trial.server.info.runtime_version = "9".to_owned();
            }
        }),
        ("workers", "smol has 1 worker in BASE and 4 in NEW", |trial| {
            if trial.server.row == "smol" {
                trial.server.workers = 4;
            }
        }),
        ("cores", "ran on core 1 in BASE and on core 3 in NEW", |trial| {
            (trial.cores.server, trial.cores.client) = (vec![3], vec![3]);
        }),
        ("build", "profile debug", |trial| trial.build.profile = "debug".to_owned()),
        ("build", "flags -C target-cpu=native", |trial| {
            trial.build.flags = "-C target-cpu=native".to_owned();
        }),
        ("control", "threads, through which the others are seen, is another program", |trial| {
            if trial.server.row == "threads" {
                trial.server.binary_sha256 = "ee".repeat(32);
            }
        }),
    ];
    for (what, text, change) in cases {
        let mut runs = Runs::new(change);
        if what == "machine" {
            // A run is of one machine: the second one is of a file of its own.
            runs = runs.edit(|line| {
                line["kind"] != "trial" || line["machine"]["host"] == "nowhere" || {
                    line["session"] = "elsewhere".into();
                    true
                }
            });
        }
        if what == "kernel" {
            runs = runs.edit(|line| {
                line["machine"]["kernel"] = "5.4".into();
                true
            });
        }
        let (code, _, stderr) = runs.compare("");
        assert_eq!(code, 2, "{what}: {stderr}");
        assert!(stderr.contains(text) && stderr.contains(&format!("`--allow {what}`")), "{what}: {stderr}");
        let (code, stdout, stderr) = runs.compare(&format!("--allow {what}"));
        assert_eq!(code, 0, "{what}: {stdout}\n{stderr}");
        assert!(stderr.contains(text), "{what}: {stderr}");
    }
}

#[test]
fn counted_calls_are_a_difference() {
    let runs = Runs::new(|_| {}).edit(|line| {
        if line["kind"] == "session" {
            line["counts"] = true.into();
        }
        true
    });
    let (code, _, stderr) = runs.compare("");
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("system calls were counted in NEW and not in BASE"), "{stderr}");
}

#[test]
fn a_control_row_of_other_sources_is_a_note() {
    let runs = Runs::new(|trial| {
        trial.build.commit = "fedcba9876543210".to_owned();
        trial.server.binary_sha256 = "ee".repeat(32);
    });
    let (code, _, stderr) = runs.compare("");
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains(
            "note: threads, through which the others are seen, was built from other sources in NEW"
        ),
        "{stderr}"
    );
}

#[test]
fn a_folder_of_runs_that_are_not_alike_is_refused() {
    let runs = Runs::new(|_| {});
    let folder = runs.folder.path().join("folder");
    fs::create_dir(&folder).unwrap();
    for (name, baseline) in [("one", "threads"), ("other", "smol")] {
        let path = folder.join(format!("{name}.ndjson"));
        RUN.write(&path, |_| {});
        edit(&path, |line| {
            line["session"] = name.into();
            if line["kind"] == "session" {
                line["baseline"] = baseline.into();
            }
            true
        });
    }
    let (code, _, stderr) = run(wsbench("compare").arg(runs.base()).arg(&folder));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("not alike (baseline threads; baseline smol)"), "{stderr}");
}

#[test]
fn other_layouts_say_the_same() {
    let runs = Runs::new(|trial| {
        if trial.server.row == "tokio" {
            cost(trial, 1.05);
        }
    })
    .edit(|line| !(is_trial_of(line, "smol") && line["scenario"]["name"] == "rtt-24"));
    let (_, json, _) = runs.compare("--format json");
    let json: Value = serde_json::from_str(&json).unwrap();
    let (_, schema, _) = run(&mut wsbench("schema compare"));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compare.schema.json");
    let published: Value = serde_json::from_str(&fs::read_to_string(published).unwrap()).unwrap();
    assert_eq!(schema, published, "wsbench schema compare > docs/compare.schema.json");
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&json), "{json:#}");
    let of = |scenario: &str, row: &str| {
        let entries = json["entries"].as_array().unwrap();
        entries.iter().find(|entry| entry["scenario"] == scenario && entry["row"] == row).unwrap().clone()
    };
    assert_eq!(of("rtt-24", "tokio")["verdict"], "regression");
    assert_eq!(of("rtt-24", "smol")["reason"], "missing in NEW");

    let (_, markdown, _) = runs.compare("--format markdown");
    let rows: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 2 + 6, "{markdown}");
    let (_, comment, _) = runs.compare("--format github");
    let (seen, folded) = comment.split_once("<details>").unwrap();
    assert!(seen.contains("missing in NEW") && !seen.contains("| same"), "{comment}");
    assert!(folded.contains("| same") && folded.contains("</details>"), "{comment}");
}
