//! What the kernel and the processor count of a process beside its cost: system calls and instructions.
//!
//! Counting is not free: the kernel stops at a tracepoint for every system call, of every process while one is counted. So
//! a run counts only when it is asked to, and its cost is not to be compared with that of a run that does not.

use perf_event::{
    Builder, Counter,
    events::{Event, Hardware, Tracepoint},
};

/// The tracepoint of every system call's entry, below either place where the kernel offers its tracing files.
const SYSTEM_CALLS: [&str; 2] = [
    "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
    "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
];

/// Counters of a server or a client, from [`attach`](Counters::attach) on. What the machine does not count is absent.
#[derive(Debug, Default)]
pub struct Counters {
    system_calls: Option<Vec<Counter>>,
    instructions: Option<Vec<Counter>>,
}

impl Counters {
    /// Begins to count on all threads of some processes, and on those that they start.
    pub fn attach(processes: &[u32]) -> Counters {
        let of_process =
            |pid: &u32| procfs::process::Process::new(*pid as i32).and_then(|process| process.tasks()).ok();
        let threads: Vec<i32> =
            processes.iter().filter_map(of_process).flatten().flatten().map(|task| task.tid).collect();
        Counters {
            system_calls: tracepoint().and_then(|event| count(event, &threads)),
            instructions: count(Hardware::INSTRUCTIONS, &threads),
        }
    }

    /// System calls since the start.
    pub fn system_calls(&mut self) -> Option<u64> {
        sum(&mut self.system_calls)
    }

    /// Instructions since the start, in user space and in the kernel.
    pub fn instructions(&mut self) -> Option<u64> {
        sum(&mut self.instructions)
    }
}

/// What cannot be counted here, each with the reason.
pub fn missing() -> Vec<String> {
    let own = [std::process::id() as i32];
    let mut missing = Vec::new();
    if tracepoint().and_then(|event| count(event, &own)).is_none() {
        missing.push(
            "system calls are not counted: that needs root and a mounted tracefs (mount -t tracefs tracefs \
             /sys/kernel/tracing)"
                .to_owned(),
        );
    }
    if count(Hardware::INSTRUCTIONS, &own).is_none() {
        missing.push(
            "instructions are not counted: this machine, or its hypervisor, offers no hardware counters, or they need root"
                .to_owned(),
        );
    }
    missing
}

fn tracepoint() -> Option<Tracepoint> {
    let id = SYSTEM_CALLS.iter().find_map(|path| std::fs::read_to_string(path).ok())?;
    Some(Tracepoint::with_id(id.trim().parse().ok()?))
}

fn count<E: Event + Clone>(event: E, threads: &[i32]) -> Option<Vec<Counter>> {
    let counter = |thread: &i32| {
        let mut builder = Builder::new(event.clone());
        builder.observe_pid(*thread).any_cpu().inherit(true).include_kernel();
        let mut counter = builder.build().ok()?;
        counter.enable().ok()?;
        Some(counter)
    };
    let counters: Option<Vec<Counter>> = threads.iter().map(counter).collect();
    counters.filter(|counters| !counters.is_empty())
}

fn sum(counters: &mut Option<Vec<Counter>>) -> Option<u64> {
    counters.as_mut()?.iter_mut().map(|counter| counter.read().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_grows_and_what_is_not_is_named() {
        let mut counters = Counters::attach(&[std::process::id()]);
        let before = (counters.system_calls(), counters.instructions());
        for _ in 0..100 {
            // One system call each time.
            drop(std::fs::metadata("/"));
        }
        let after = (counters.system_calls(), counters.instructions());
        let missing = missing().join("; ");
        match (before.0, after.0) {
            (Some(before), Some(after)) => assert!(after >= before + 100, "{before} {after}"),
            _ => assert!(missing.contains("system calls"), "{missing}"),
        }
        match (before.1, after.1) {
            (Some(before), Some(after)) => assert!(after > before, "{before} {after}"),
            _ => assert!(missing.contains("instructions"), "{missing}"),
        }
    }
}
