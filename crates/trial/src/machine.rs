//! What a machine is like for measuring, and what that means for the results.

use std::{collections::BTreeSet, fs};

use bench_core::row::BuildInfo;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    control_group::ControlGroups,
    placement::{self, Placement},
};

/// One thing about the machine, or this build, that results depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub value: String,
    /// What it means for results; absent where it is as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl Finding {
    fn new(what: &str, value: impl Into<String>, warning: Option<&str>) -> Finding {
        Finding { what: what.to_owned(), value: value.into(), warning: warning.map(str::to_owned) }
    }
}

/// Load average, over one minute, from which somebody else is at work. A run of wsbench that has just ended is, too.
const BUSY_LOAD: f64 = 0.5;

/// Share of the time in which some task waited for a processor, in percent, from which others compete for them.
const PRESSURE: f64 = 5.0;

/// Looks at this machine and at the build of the program that measures.
pub fn findings(build: &BuildInfo) -> Vec<Finding> {
    let mut findings = vec![build_profile(build)];
    findings.extend(
        [
            cores(),
            kinds_of_cores(),
            offline(),
            siblings(),
            quota(),
            memory_limit(),
            virtualisation(),
            governor(),
            clock_source(),
            load(),
            pressure(),
            open_files(),
            ports(),
        ]
        .into_iter()
        .flatten(),
    );
    findings
}

fn build_profile(build: &BuildInfo) -> Finding {
    let warning =
        (!build.is_release()).then_some("not a release build: its figures say nothing about the runtimes");
    Finding::new("build", format!("{}{}", build.profile, if build.dirty { ", changed" } else { "" }), warning)
}

fn cores() -> Option<Finding> {
    // Not the parallelism that the standard library finds, which counts a quota as fewer cores.
    let cores = placement::usable().ok()?;
    let warning = match cores {
        1 => Some("one core: server and client share it, and `split` is not possible"),
        2 => Some("two cores: rows of several threads have to share one with the client, and get no verdict"),
        _ => None,
    };
    Some(Finding::new("cores that may be used", cores.to_string(), warning))
}

fn kinds_of_cores() -> Option<Finding> {
    let kinds = placement::kinds().ok()?;
    let (fastest, slower) = kinds.split_first()?;
    let slower: Vec<String> = slower.iter().map(u32::to_string).collect();
    (!slower.is_empty()).then(|| {
        let value = format!(
            "{fastest} of the fastest kind, which are used, and {} of slower ones",
            slower.join(" and ")
        );
        Finding::new("kinds of cores", value, None)
    })
}

/// Cores that are there and switched off.
fn offline() -> Option<Finding> {
    let list = |file: &str| fs::read_to_string(format!("/sys/devices/system/cpu/{file}")).ok();
    let (present, online) = (cpu_list(&list("present")?), cpu_list(&list("online")?));
    let off: Vec<String> = present.difference(&online).map(u32::to_string).collect();
    (!off.is_empty()).then(|| {
        let warning = "cores are switched off: the figures are of a smaller machine than this one";
        Finding::new("cores that are offline", off.join(", "), Some(warning))
    })
}

/// Numbers of CPUs as the kernel lists them: `0-3,8`.
fn cpu_list(text: &str) -> BTreeSet<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse::<u32>().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

fn siblings() -> Option<Finding> {
    let split = placement::choose(Placement::Split, 1, 1).ok()?;
    split.siblings.then(|| {
        Finding::new(
            "physical cores",
            "1",
            Some("server and client of `split` sit on two threads of one physical core and slow each other down"),
        )
    })
}

fn quota() -> Option<Finding> {
    let quota = ControlGroups::own().cpu_quota()?;
    let warning = "all processes are stopped once they have used it up: rate and p99 are the quota's; trials that it stopped \
                   are marked throttled and get no verdict";
    Some(Finding::new("CPU quota of the control group", format!("{quota:.2} cores"), Some(warning)))
}

fn memory_limit() -> Option<Finding> {
    let limit = ControlGroups::own().memory_limit()?;
    Some(Finding::new("memory limit of the control group", format!("{} MiB", limit >> 20), None))
}

fn virtualisation() -> Option<Finding> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let flags = text.lines().find(|line| line.starts_with("flags"))?;
    let is_virtual = flags.split_whitespace().any(|flag| flag == "hypervisor");
    let warning = is_virtual.then_some(
        "its cores are another machine's threads: slow phases of seconds are usual and steal does not show them all; a \
         round trip between two cores measures how they wake up",
    );
    Some(Finding::new("virtual machine", if is_virtual { "yes" } else { "no" }, warning))
}

fn governor() -> Option<Finding> {
    let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").ok()?;
    let warning = (governor.trim() != "performance")
        .then_some("the clock frequency follows the load: set the governor to performance");
    Some(Finding::new("frequency governor", governor.trim(), warning))
}

fn clock_source() -> Option<Finding> {
    let source =
        fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource").ok()?;
    let source = source.trim();
    let is_fast = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"].contains(&source);
    let warning = (!is_fast)
        .then_some("reading the clock is a system call here, which every timed message pays for twice");
    Some(Finding::new("clock source", source, warning))
}

fn load() -> Option<Finding> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    let warning = (load > BUSY_LOAD).then_some("something else is running: wait for it, or find it");
    Some(Finding::new("load average, one minute", load.to_string(), warning))
}

fn pressure() -> Option<Finding> {
    let text = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let some = text.lines().find(|line| line.starts_with("some"))?;
    let average = some.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?;
    let share: f64 = average.parse().ok()?;
    let warning = (share > PRESSURE).then_some("tasks wait for a processor: others compete for it");
    Some(Finding::new("processor pressure, ten seconds", format!("{average} %"), warning))
}

#[cfg(unix)]
fn open_files() -> Option<Finding> {
    /// What the largest built-in scenario needs.
    const NEEDED: u64 = 5_100;
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).ok()?;
    let warning = (hard < NEEDED)
        .then_some("too few for 5,000 connections: raise it (ulimit -n) to run every scenario");
    Some(Finding::new("open files of a process", hard.to_string(), warning))
}

#[cfg(not(unix))]
fn open_files() -> Option<Finding> {
    None
}

fn ports() -> Option<Finding> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u32>().ok());
    let count = (ends.next()?, ends.next()?);
    let count = count.1.saturating_sub(count.0) + 1;
    let warning = (count < 10_000).then_some("few ports: many connections one after the other use them up");
    Some(Finding::new("ports of one address", count.to_string(), warning))
}

/// The machine that a trial ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Host name.
    pub host: String,
    /// Processor model.
    pub cpu: String,
    /// Logical CPUs that are online.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Operating system.
    pub os: String,
    /// Kernel version.
    pub kernel: String,
    /// Processor architecture.
    pub arch: String,
    /// What about it, and about the build that measures, spoils results.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Machine {
    /// The machine that this program runs on, as it is now.
    pub fn this(build: &BuildInfo) -> Machine {
        let mut system = sysinfo::System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_memory();
            system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
        }
        let cpus = system.as_ref().map_or(&[][..], |system| system.cpus());
        let cpu = cpus.first().map_or(String::new(), |cpu| cpu.brand().trim().to_owned());
        let unknown = || "unknown".to_owned();
        Machine {
            host: sysinfo::System::host_name().unwrap_or_else(|_| unknown()),
            cpu: if cpu.is_empty() { unknown() } else { cpu },
            cpus: cpus.len() as u32,
            memory_bytes: system.as_ref().map_or(0, |system| system.total_memory()),
            os: sysinfo::System::long_os_version().unwrap_or_else(|_| unknown()),
            kernel: sysinfo::System::kernel_version().unwrap_or_else(|_| unknown()),
            arch: sysinfo::System::cpu_arch(),
            warnings: findings(build)
                .into_iter()
                .filter_map(|finding| {
                    Some(format!("{}: {}: {}", finding.what, finding.value, finding.warning?))
                })
                .collect(),
        }
    }

    /// Memory that trials may take, in bytes: that of the machine, or what a control group leaves of it.
    pub fn usable_memory_bytes(&self) -> u64 {
        ControlGroups::own().memory_limit().map_or(self.memory_bytes, |limit| limit.min(self.memory_bytes))
    }

    /// One line for a person.
    pub fn summary(&self) -> String {
        format!(
            "{} · {} CPUs · {:.0} GiB · {} · kernel {} · {}",
            self.cpu,
            self.cpus,
            self.memory_bytes as f64 / (1_u64 << 30) as f64,
            self.os,
            self.kernel,
            self.arch
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(cpu_list("0-2,5\n"), [0, 1, 2, 5].into());
        assert_eq!(cpu_list("\n"), BTreeSet::new());
    }

    #[test]
    fn a_build_without_optimisation_is_named() {
        let build = |profile: &str| BuildInfo {
            commit: String::new(),
            dirty: false,
            profile: profile.to_owned(),
            lock_sha256: String::new(),
            rustc: String::new(),
            target: String::new(),
            target_features: String::new(),
            opt_level: String::new(),
            flags: String::new(),
            features: Vec::new(),
        };
        assert!(findings(&build("debug"))[0].warning.is_some());
        let release = findings(&build("release"));
        assert_eq!(release[0].warning, None);
        assert!(release.iter().all(|finding| !finding.value.is_empty()));
    }
}
