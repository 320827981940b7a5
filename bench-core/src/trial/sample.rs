//! Cost of a process and state of the machine, read from outside and the same way for every language.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sysinfo::System;

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
}

/// Reads the whole machine; CPU use counts from the reading before.
#[derive(Debug)]
pub struct MachineSampler(Option<System>);

impl MachineSampler {
    /// Starts with a first reading.
    pub fn new() -> MachineSampler {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        MachineSampler(system)
    }

    /// The state now; `None` where the system does not tell.
    pub fn sample(&mut self) -> Option<MachineSample> {
        let system = self.0.as_mut()?;
        system.refresh_cpu_usage();
        system.refresh_memory();
        Some(MachineSample {
            cpu_permille: (system.global_cpu_usage() * 10.0).round() as u32,
            memory_used_bytes: system.used_memory(),
            memory_total_bytes: system.total_memory(),
        })
    }
}

impl Default for MachineSampler {
    fn default() -> MachineSampler {
        MachineSampler::new()
    }
}

/// Reads what process `pid` has used; `None` when it is gone, or where the system does not tell.
#[cfg(target_os = "linux")]
pub fn sample(pid: u32) -> Option<Sample> {
    use nix::{time, unistd::Pid};
    use procfs::process::Process;

    let pid = i32::try_from(pid).ok()?;
    let clock = time::clock_getcpuclockid(Pid::from_raw(pid)).ok()?;
    let cpu = time::clock_gettime(clock).ok()?;
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
        cpu_ns: cpu.tv_sec() as u64 * 1_000_000_000 + cpu.tv_nsec() as u64,
        user_ns: stat.utime * tick_ns,
        system_ns: stat.stime * tick_ns,
        rss_bytes: status.vmrss? * 1024,
        peak_rss_bytes: status.vmhwm? * 1024,
        threads: status.threads,
        voluntary_switches: voluntary,
        involuntary_switches: involuntary,
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
        assert!(after.rss_bytes > 0 && after.peak_rss_bytes >= after.rss_bytes / 2);
    }

    #[test]
    fn a_process_that_is_gone_has_no_sample() {
        assert_eq!(sample(u32::MAX / 2), None);
    }
}
