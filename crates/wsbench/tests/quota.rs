//! Under a CPU quota `check` warns and trials are marked. The quota is that of a control group that the test makes.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use common::{run, trials, wsbench};
use libtest_mimic::{Arguments, Failed, Trial};
use trial::mark::Mark;

/// Half a core: 50 ms of each 100.
const QUOTA_US: u32 = 50_000;
const PERIOD_US: u32 = 100_000;

fn main() -> ExitCode {
    let group = Group::make();
    if group.is_none() {
        println!("quotas are not tested: no control group with a CPU quota can be made here");
    }
    let is_possible = group.is_some();
    let tests = vec![
        Trial::test("a_quota_is_a_warning_and_throttled_trials_are_marked", move || {
            group.as_ref().map_or(Ok(()), throttled)
        })
        .with_ignored_flag(!is_possible),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// A control group with half a core; it is removed when this is dropped.
struct Group(PathBuf);

impl Group {
    fn make() -> Option<Group> {
        let name = format!("wsbench-test-{}", std::process::id());
        // Version 1 has a hierarchy for CPU alone; version 2 needs the controller to be handed down to us.
        let first = Path::new("/sys/fs/cgroup/cpu").join(&name);
        if fs::create_dir(&first).is_ok() {
            let group = Group(first);
            let write = |file: &str, value: u32| fs::write(group.0.join(file), value.to_string());
            let limited =
                write("cpu.cfs_period_us", PERIOD_US).and_then(|()| write("cpu.cfs_quota_us", QUOTA_US));
            return limited.ok().map(|()| group);
        }
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let second = Path::new("/sys/fs/cgroup").join(own).join(&name);
        fs::create_dir(&second).ok()?;
        let group = Group(second);
        fs::write(group.0.join("cpu.max"), format!("{QUOTA_US} {PERIOD_US}")).ok().map(|()| group)
    }

    /// A command that runs in the group.
    fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&self.0);
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty once the commands in it have ended.
        let _ = fs::remove_dir(&self.0);
    }
}

fn throttled(group: &Group) -> Result<(), Failed> {
    let (code, stdout, stderr) = run(&mut group.inside(&wsbench("check")));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("CPU quota of the control group"), "{stdout}");
    assert!(stdout.contains("0.50 cores"), "{stdout}");
    let (_, outside, _) = run(&mut wsbench("check"));
    let cores = |text: &str| {
        let line = text.lines().find(|line| line.contains("cores that may be used")).map(str::to_owned);
        line.and_then(|line| line.split_whitespace().last().map(str::to_owned))
    };
    assert_eq!(cores(&stdout), cores(&outside), "a quota is not a number of cores");

    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    // Both ends want a whole core, so that the quota is used up in every period.
    let mut command = wsbench("run --rows tokio --rounds 1 --warm-up 50ms --duration 500ms --connections 20");
    command.arg("--out").arg(&out);
    let (code, stdout, stderr) = run(&mut group.inside(&command));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("q throttled in 1 trial"), "{stdout}");
    for trial in trials(&out) {
        assert!(trial.marks.contains(&Mark::Throttled), "{:?}", trial.marks);
    }
    Ok(())
}
