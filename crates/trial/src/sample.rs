//! Cost of a process and state of the machine, read from outside and the same way for every language.

use std::collections::{BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sysinfo::System;

use crate::{clock::Readings, control_group::ControlGroups};

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// CPU time by the process's CPU clock, in nanoseconds; it holds what ended threads used.
    pub cpu_ns: u64,
    /// CPU time in user mode, in nanoseconds; counted by the kernel in ticks of 10 ms.
    pub user_ns: u64,
    /// CPU time in the kernel, in nanoseconds; counted by the kernel in ticks of 10 ms.
    pub system_ns: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Largest resident memory since the start, in bytes.
    pub peak_rss_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Voluntary context switches of the threads that exist.
    pub voluntary_switches: u64,
    /// Involuntary context switches of the threads that exist.
    pub involuntary_switches: u64,
    /// System calls since the first sample, where a run counts them and the machine can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_calls: Option<u64>,
    /// Instructions since the first sample, where a run counts them and the machine can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// Open files, connections among them; absent where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// What this is the cost of, and how it was read.
    #[serde(default, skip_serializing_if = "Source::is_process")]
    pub source: Source,
}

/// What a [`Sample`] is the cost of, and how it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// One process.
    #[default]
    Process,
    /// All processes of a server that was started by a command: CPU time by their control group, which holds what ended
    /// processes used; memory, threads, switches and files as the sum over those that exist.
    ControlGroup,
    /// The same without a control group: CPU time as the sum over the processes that exist, and of what their parents
    /// inherited from ended ones in ticks of 10 ms.
    ProcessTree,
}

impl Source {
    fn is_process(&self) -> bool {
        *self == Source::Process
    }
}

/// State of the whole machine, as the original Python evaluation read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineSample {
    /// CPU in use since the sample before, over all cores, in thousandths.
    pub cpu_permille: u32,
    /// Memory in use in bytes.
    pub memory_used_bytes: u64,
    /// Memory of the machine in bytes.
    pub memory_total_bytes: u64,
    /// CPU time that other processes have used on the trial's cores since the first reading of a run, in nanoseconds: not
    /// wsbench and its children. 0 where processes are not pinned.
    #[serde(default)]
    pub others_cpu_ns: u64,
    /// Time that the hypervisor has taken from the trial's cores since the machine started, in nanoseconds, counted by
    /// the kernel in ticks of 10 ms.
    #[serde(default)]
    pub used_cores_stolen_ns: u64,
    /// How far the clock that keeps counting during a suspension is ahead of the one that does not, in nanoseconds.
    #[serde(default)]
    pub boot_clock_ahead_ns: u64,
    /// How far the wall clock is ahead of the monotonic clock, in nanoseconds.
    #[serde(default)]
    pub wall_clock_ahead_ns: u64,
    /// Periods in which a CPU quota has stopped this control group or one above it; absent where there is no quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_periods: Option<u64>,
}

/// Reads the whole machine; CPU use counts from the reading before.
#[derive(Debug)]
pub struct MachineSampler {
    system: Option<System>,
    others: Others,
    groups: ControlGroups,
}

impl MachineSampler {
    /// Starts with a first reading.
    pub fn new() -> MachineSampler {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        MachineSampler { system, others: Others::default(), groups: ControlGroups::own() }
    }

    /// The state now, with the times of the cores of a trial; `None` where the system does not tell.
    pub fn sample(&mut self, cores: &BTreeSet<u32>) -> Option<MachineSample> {
        let system = self.system.as_mut()?;
        system.refresh_cpu_usage();
        system.refresh_memory();
        let others_cpu_ns = self.others.cpu_ns(cores);
        let ahead = Readings::now().ahead();
        Some(MachineSample {
            cpu_permille: (system.global_cpu_usage() * 10.0).round() as u32,
            memory_used_bytes: system.used_memory(),
            memory_total_bytes: system.total_memory(),
            others_cpu_ns,
            used_cores_stolen_ns: stolen_ns(cores),
            boot_clock_ahead_ns: ahead.boot_ns,
            wall_clock_ahead_ns: ahead.wall_ns,
            throttled_periods: self.groups.throttled_periods(),
        })
    }
}

impl Default for MachineSampler {
    fn default() -> MachineSampler {
        MachineSampler::new()
    }
}

/// The CPU time of everybody else. The kernel's own sum over a core counts ticks, which a load with a rhythm of its own
/// misleads by half; the CPU clocks of the processes are exact.
#[derive(Debug, Default)]
struct Others {
    /// What each process had used at the reading before.
    before: HashMap<i32, u64>,
    total_ns: u64,
}

/// Growth of one process's CPU time between two readings that is not looked into.
#[cfg(target_os = "linux")]
const NEGLIGIBLE_NS: u64 = 500_000;

#[cfg(target_os = "linux")]
impl Others {
    /// What others have used on these cores since the first call. A process counts for the core on which it ran last.
    fn cpu_ns(&mut self, cores: &BTreeSet<u32>) -> u64 {
        let Ok(folder) = std::fs::read_dir("/proc") else { return self.total_ns };
        let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let now: HashMap<i32, u64> = pids.filter_map(|pid| Some((pid, cpu_clock_ns(pid)?))).collect();
        if !self.before.is_empty() {
            for (pid, cpu_ns) in &now {
                let grown = cpu_ns.saturating_sub(self.before.get(pid).copied().unwrap_or(0));
                if grown > NEGLIGIBLE_NS && is_other(*pid, cores) {
                    self.total_ns += grown;
                }
            }
        }
        self.before = now;
        self.total_ns
    }
}

#[cfg(not(target_os = "linux"))]
impl Others {
    fn cpu_ns(&mut self, _cores: &BTreeSet<u32>) -> u64 {
        self.total_ns
    }
}

/// Whether a process ran on one of the cores and is neither this one nor descends from it. The kernel's threads work for
/// whoever is on the core, most of all for the network traffic of the trial.
#[cfg(target_os = "linux")]
fn is_other(pid: i32, cores: &BTreeSet<u32>) -> bool {
    let stat = |pid| procfs::process::Process::new(pid).and_then(|process| process.stat()).ok();
    let Some(of_process) = stat(pid) else { return false };
    let core = of_process.processor.and_then(|core| u32::try_from(core).ok());
    core.is_some_and(|core| cores.contains(&core)) && !is_ours(pid, |pid| Some(stat(pid)?.ppid))
}

/// Whether a process is this one, the ancestor of the kernel's threads, or descends from one of them.
#[cfg(target_os = "linux")]
fn is_ours(pid: i32, parent: impl Fn(i32) -> Option<i32>) -> bool {
    /// The process that all threads of the kernel descend from.
    const KTHREADD: i32 = 2;
    /// Longer than any sound line of descent: processes that come and go may look as if they were their own ancestors.
    const LONGEST_LINE: usize = 64;
    let own = std::process::id() as i32;
    let line = std::iter::successors(Some(pid), |pid| parent(*pid));
    line.take(LONGEST_LINE).any(|ancestor| ancestor == own || ancestor == KTHREADD)
}

/// Reads a process's CPU clock, in nanoseconds.
#[cfg(target_os = "linux")]
fn cpu_clock_ns(pid: i32) -> Option<u64> {
    use nix::{time, unistd::Pid};

    let clock = time::clock_getcpuclockid(Pid::from_raw(pid)).ok()?;
    let cpu = time::clock_gettime(clock).ok()?;
    Some(cpu.tv_sec() as u64 * 1_000_000_000 + cpu.tv_nsec() as u64)
}

/// Time that the hypervisor has taken from some cores since the machine started.
#[cfg(target_os = "linux")]
fn stolen_ns(cores: &BTreeSet<u32>) -> u64 {
    let Ok(stat) = std::fs::read_to_string("/proc/stat") else { return 0 };
    stolen_ticks(&stat, cores) * (1_000_000_000 / procfs::ticks_per_second())
}

/// The steal of some cores in /proc/stat, by their numbers: it has no line for a core that is offline.
#[cfg(target_os = "linux")]
fn stolen_ticks(stat: &str, cores: &BTreeSet<u32>) -> u64 {
    /// Its place among the fields of a core, of which the first is the name.
    const STEAL: usize = 8;
    let of_core = |line: &str| -> Option<u64> {
        let mut fields = line.split_whitespace();
        let core: u32 = fields.next()?.strip_prefix("cpu")?.parse().ok()?;
        cores.contains(&core).then(|| fields.nth(STEAL - 1)?.parse().ok())?
    };
    stat.lines().filter_map(of_core).sum()
}

#[cfg(not(target_os = "linux"))]
fn stolen_ns(_cores: &BTreeSet<u32>) -> u64 {
    0
}

/// Reads what process `pid` has used; `None` when it is gone, or where the system does not tell.
#[cfg(target_os = "linux")]
pub fn sample(pid: u32) -> Option<Sample> {
    use procfs::process::Process;

    let pid = i32::try_from(pid).ok()?;
    let cpu_ns = cpu_clock_ns(pid)?;
    let process = Process::new(pid).ok()?;
    let status = process.status().ok()?;
    let stat = process.stat().ok()?;
    let tick_ns = 1_000_000_000 / procfs::ticks_per_second();
    // /proc/PID/status counts the switches of the first thread only.
    let (mut voluntary, mut involuntary) = (0, 0);
    for task in process.tasks().ok()?.flatten() {
        if let Ok(status) = task.status() {
            voluntary += status.voluntary_ctxt_switches.unwrap_or(0);
            involuntary += status.nonvoluntary_ctxt_switches.unwrap_or(0);
        }
    }
    Some(Sample {
        cpu_ns,
        user_ns: stat.utime * tick_ns,
        system_ns: stat.stime * tick_ns,
        rss_bytes: status.vmrss? * 1024,
        peak_rss_bytes: status.vmhwm? * 1024,
        threads: status.threads,
        voluntary_switches: voluntary,
        involuntary_switches: involuntary,
        system_calls: None,
        instructions: None,
        open_files: process.fd_count().ok().map(|count| count as u64),
        source: Source::Process,
    })
}

/// Reads what process `pid` has used: not available on this system.
#[cfg(not(target_os = "linux"))]
pub fn sample(_pid: u32) -> Option<Sample> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn ended_threads_stay_in_the_cpu_time() {
        let before = sample(std::process::id()).unwrap();
        std::thread::spawn(|| {
            let start = std::time::Instant::now();
            let mut sum = 0_u64;
            while start.elapsed().as_millis() < 30 {
                sum = std::hint::black_box(sum + 1);
            }
        })
        .join()
        .unwrap();
        let after = sample(std::process::id()).unwrap();
        assert!(after.cpu_ns > before.cpu_ns);
        assert!(after.open_files.is_some_and(|count| count > 0));
        assert!(after.rss_bytes > 0 && after.peak_rss_bytes >= after.rss_bytes / 2);
    }

    #[test]
    fn steal_is_read_by_the_number_of_a_core() {
        let stat = "cpu  1 1 1 1 1 1 1 99 0 0\ncpu0 1 1 1 1 1 1 1 10 0 0\ncpu2 1 1 1 1 1 1 1 30 0 0\n\
                    cpu12 1 1 1 1 1 1 1 40 0 0\nintr 5 5 5 5 5 5 5 5 5\n";
        let of = |cores: &[u32]| stolen_ticks(stat, &cores.iter().copied().collect());
        assert_eq!((of(&[0]), of(&[1]), of(&[2]), of(&[0, 12])), (10, 0, 30, 50));
    }

    #[test]
    fn whatever_descends_from_this_process_is_ours() {
        let own = std::process::id() as i32;
        let parent = |pid| match pid {
            50 => Some(51),
            51 => Some(own),
            60 => Some(1),
            70 => Some(2),
            80 => Some(80),
            _ => None,
        };
        let ours: Vec<bool> = [own, 50, 51, 60, 70, 80].into_iter().map(|pid| is_ours(pid, parent)).collect();
        assert_eq!(ours, [true, true, true, false, true, false]);
    }

    #[test]
    fn a_process_that_is_gone_has_no_sample() {
        assert_eq!(sample(u32::MAX / 2), None);
    }
}
