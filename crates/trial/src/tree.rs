//! A process with everything that it has started: what it costs together, and its end.
//!
//! The processes are those of a server that was started by a command. Their root is the guardian, a process of wsbench's own
//! that adopts whatever loses its parent: nothing that was started below it ever leaves the tree, and its own cost does not
//! count.

use std::collections::{HashMap, HashSet};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::{Process, all_processes};

use crate::sample::{Sample, Source, sample};

mod group;

pub use group::Group;

/// The processes below `root`, parents first; without those that have ended and that nobody has waited for.
pub fn below(root: u32) -> Vec<u32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for process in all_processes().into_iter().flatten().flatten() {
        if let Ok(stat) = process.stat()
            && stat.state != 'Z'
        {
            children.entry(stat.ppid).or_default().push(stat.pid);
        }
    }
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut parents = vec![root as i32];
    while let Some(parent) = parents.pop() {
        for child in children.get(&parent).into_iter().flatten().filter(|child| seen.insert(**child)) {
            found.push(*child as u32);
            parents.push(*child);
        }
    }
    found
}

/// Sends a signal to every process below `root`, and gives how many there were.
pub fn signal(root: u32, signal: Signal) -> usize {
    let processes = below(root);
    for process in &processes {
        // It fails only where the process has ended meanwhile.
        let _ = kill(Pid::from_raw(*process as i32), signal);
    }
    processes.len()
}

/// What the processes below `root` have used so far, those that have ended included; `None` where there is none.
///
/// CPU time is that of their control group where they have one. Elsewhere it is the sum of their CPU clocks and of what their
/// parents have inherited from children that ended, which the kernel counts in ticks of 10 ms. The rest is the sum over the
/// processes that exist.
pub(crate) fn sample_below(root: u32) -> Option<Sample> {
    let samples: Vec<Sample> = below(root).into_iter().filter_map(sample).collect();
    let mut sum = samples.into_iter().reduce(add)?;
    match Group::of(root).and_then(|group| group.cpu()) {
        Some(cpu) => {
            (sum.cpu_ns, sum.user_ns, sum.system_ns) = (cpu.total_ns, cpu.user_ns, cpu.system_ns);
            sum.source = Source::ControlGroup;
        }
        None => {
            let (user_ns, system_ns) = inherited_below(root);
            sum.cpu_ns += user_ns + system_ns;
            sum.user_ns += user_ns;
            sum.system_ns += system_ns;
            sum.source = Source::ProcessTree;
        }
    }
    Some(sum)
}

fn add(one: Sample, other: Sample) -> Sample {
    let both = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
    Sample {
        cpu_ns: one.cpu_ns + other.cpu_ns,
        user_ns: one.user_ns + other.user_ns,
        system_ns: one.system_ns + other.system_ns,
        rss_bytes: one.rss_bytes + other.rss_bytes,
        peak_rss_bytes: one.peak_rss_bytes + other.peak_rss_bytes,
        threads: one.threads + other.threads,
        voluntary_switches: one.voluntary_switches + other.voluntary_switches,
        involuntary_switches: one.involuntary_switches + other.involuntary_switches,
        system_calls: both(one.system_calls, other.system_calls),
        instructions: both(one.instructions, other.instructions),
        open_files: both(one.open_files, other.open_files),
        source: one.source,
    }
}

/// CPU time in user mode and in the kernel of children that have ended and were waited for, at `root` and below, in
/// nanoseconds. The root has waited for those that lost their parent.
fn inherited_below(root: u32) -> (u64, u64) {
    let tick_ns = 1_000_000_000 / procfs::ticks_per_second();
    let mut sum = (0, 0);
    for process in [root].into_iter().chain(below(root)) {
        if let Ok(stat) = Process::new(process as i32).and_then(|process| process.stat()) {
            sum.0 += stat.cutime.unsigned_abs() * tick_ns;
            sum.1 += stat.cstime.unsigned_abs() * tick_ns;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Child, Command},
        time::{Duration, Instant},
    };

    use super::*;

    /// A shell whose child burns CPU time and ends, and which then waits.
    fn burning() -> Child {
        let script = "sh -c 'i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done'; sleep 60";
        Command::new("sh").args(["-c", script]).spawn().unwrap()
    }

    #[test]
    fn children_that_ended_count() {
        // This test's own process is the root, and other tests may have children here as well: only the shell is looked at.
        let mut shell = burning();
        let deadline = Instant::now() + Duration::from_secs(60);
        let inherited = loop {
            let inherited = inherited_below(shell.id());
            let sleeps = below(shell.id()).into_iter().any(|process| {
                Process::new(process as i32)
                    .and_then(|process| process.stat())
                    .is_ok_and(|stat| stat.comm == "sleep")
            });
            if sleeps || Instant::now() > deadline {
                break inherited_below(shell.id()).max(inherited);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(inherited.0 + inherited.1 > 0, "{inherited:?}");
        assert!(below(std::process::id()).contains(&shell.id()));
        assert_eq!(signal(shell.id(), Signal::SIGKILL), 1);
        shell.kill().unwrap();
        shell.wait().unwrap();
    }
}
