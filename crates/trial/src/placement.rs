//! Which cores a trial's processes run on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    process::{Child, Command},
};

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where server and client run.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Both on one core: the only steady round trip on a virtual machine, and the rule of the original evaluation.
    #[default]
    Shared,
    /// Each on a physical core of its own.
    Split,
}

impl fmt::Display for Placement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Placement::Shared => "shared",
            Placement::Split => "split",
        })
    }
}

/// The cores of one placement on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cores {
    /// Cores of the server; empty where processes cannot be pinned.
    pub server: Vec<u32>,
    /// Cores of the client; empty where processes cannot be pinned.
    pub client: Vec<u32>,
    /// Whether two of the cores are threads of one physical core, because there are too few of these.
    pub siblings: bool,
    /// Whether there are more threads than cores for them: several worker threads on the one core of `shared`, or server and
    /// client on one core although each should have its own. Such a trial cannot be compared with one of rows that need fewer.
    pub cores_shared: bool,
}

impl Cores {
    /// No pinning.
    pub fn anywhere() -> Cores {
        Cores { server: Vec::new(), client: Vec::new(), siblings: false, cores_shared: false }
    }
}

/// Why a placement is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Nothing can be pinned on this system.
    #[error("pinning is not available on this system")]
    NotAvailable,
    /// The system does not say which cores there are.
    #[error("the cores of this process cannot be read: {0}")]
    Unreadable(String),
    /// There are none.
    #[error("this process may use no core at all")]
    NoCore,
    /// There are too few for two ends apart from each other.
    #[error(
        "the placement `split` needs two cores of one kind, and this process may use {all} core(s), of which {fastest} of the \
         fastest kind; use --placement shared"
    )]
    TooFew {
        /// Cores that this process may use.
        all: usize,
        /// Those of the fastest kind.
        fastest: usize,
    },
}

impl From<PlacementError> for String {
    fn from(error: PlacementError) -> String {
        error.to_string()
    }
}

/// One logical CPU as sysfs describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cpu {
    id: u32,
    package: u32,
    core: u32,
    /// Relative speed, where cores are of different kinds.
    capacity: u32,
}

/// Chooses cores among those that this process may use, for a server and a client of so many worker threads. The same
/// question always has the same answer, so that every trial of a row gets the same cores.
///
/// # Errors
/// Where the placement is not possible, with the reason.
#[cfg(target_os = "linux")]
pub fn choose(
    placement: Placement,
    server_threads: u32,
    client_threads: u32,
) -> Result<Cores, PlacementError> {
    select(placement, server_threads, client_threads, &linux::usable_cpus()?)
}

/// Chooses cores: on this system processes cannot be pinned.
///
/// # Errors
/// Always for `split`, which means nothing without pinning.
#[cfg(not(target_os = "linux"))]
pub fn choose(
    placement: Placement,
    _server_threads: u32,
    _client_threads: u32,
) -> Result<Cores, PlacementError> {
    match placement {
        Placement::Shared => Ok(Cores::anywhere()),
        Placement::Split => Err(PlacementError::NotAvailable),
    }
}

/// The kinds of cores among those that this process may use, the fastest first: how many there are of each.
///
/// # Errors
/// Where the system does not tell, with the reason.
pub fn kinds() -> Result<Vec<u32>, PlacementError> {
    #[cfg(target_os = "linux")]
    {
        let mut kinds: BTreeMap<u32, u32> = BTreeMap::new();
        linux::usable_cpus()?.iter().for_each(|cpu| *kinds.entry(cpu.capacity).or_default() += 1);
        Ok(kinds.into_values().rev().collect())
    }
    #[cfg(not(target_os = "linux"))]
    Err(PlacementError::NotAvailable)
}

/// How many cores this process may use.
///
/// # Errors
/// Where the system does not tell, with the reason.
pub fn usable() -> Result<u32, PlacementError> {
    #[cfg(target_os = "linux")]
    return Ok(linux::usable_cpus()?.len() as u32);
    #[cfg(not(target_os = "linux"))]
    Err(PlacementError::NotAvailable)
}

#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn select(
    placement: Placement,
    server_threads: u32,
    client_threads: u32,
    cpus: &[Cpu],
) -> Result<Cores, PlacementError> {
    // The last ones: interrupts and whatever else the machine does tend to sit on the first.
    let Some(first) = cpus.iter().max_by_key(|cpu| (cpu.capacity, cpu.id)) else {
        return Err(PlacementError::NoCore);
    };
    if placement == Placement::Shared {
        let one = vec![first.id];
        let cores_shared = server_threads > 1 || client_threads > 1;
        return Ok(Cores { server: one.clone(), client: one, siblings: false, cores_shared });
    }
    let of_one_kind = by_preference(cpus, first);
    if of_one_kind.len() < 2 {
        return Err(PlacementError::TooFew { all: cpus.len(), fastest: of_one_kind.len() });
    }
    let (servers, clients) = (server_threads as usize, client_threads as usize);
    // With too few cores the client begins on the one that the server takes last.
    let start = servers.min(of_one_kind.len().saturating_sub(clients));
    let server = &of_one_kind[..servers.min(of_one_kind.len())];
    let client = &of_one_kind[start..(start + clients).min(of_one_kind.len())];
    let ids = |cpus: &[Cpu]| cpus.iter().map(|cpu| cpu.id).collect();
    let physical = |cpu: &Cpu| (cpu.package, cpu.core);
    let used: BTreeSet<u32> = server.iter().chain(client).map(|cpu| cpu.id).collect();
    let used_physical: BTreeSet<(u32, u32)> = server.iter().chain(client).map(physical).collect();
    Ok(Cores {
        server: ids(server),
        client: ids(client),
        siblings: used_physical.len() < used.len(),
        cores_shared: servers + clients > of_one_kind.len(),
    })
}

/// The CPUs of the kind of `first`, which comes first: one thread of each physical core before a second one, and those of its own
/// package before others.
fn by_preference(cpus: &[Cpu], first: &Cpu) -> Vec<Cpu> {
    let mut of_one_kind: Vec<Cpu> =
        cpus.iter().filter(|cpu| cpu.capacity == first.capacity).copied().collect();
    of_one_kind.sort_by_key(|cpu| std::cmp::Reverse(cpu.id));
    let mut threads: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    let mut ranked: Vec<(u32, Cpu)> = Vec::new();
    for cpu in of_one_kind {
        let thread = threads.entry((cpu.package, cpu.core)).or_default();
        ranked.push((*thread, cpu));
        *thread += 1;
    }
    ranked.sort_by_key(|(thread, cpu)| (*thread, cpu.package != first.package));
    ranked.into_iter().map(|(_, cpu)| cpu).collect()
}

/// Starts a process that may only run on `cores`; on any when there are none.
///
/// The calling thread moves there for the time of the start and the child inherits it, so the child never runs
/// anywhere else.
///
/// # Errors
/// When the thread cannot be moved or the process cannot be started.
pub fn spawn_on(command: &mut Command, cores: &[u32]) -> io::Result<Child> {
    #[cfg(target_os = "linux")]
    if !cores.is_empty() {
        return linux::spawn_on(command, cores);
    }
    let _ = cores;
    command.spawn()
}

/// Relative speed of a CPU by its highest frequency and that of the fastest one, where the kernel does not say: x86 kernels
/// mostly do not.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn capacity(frequency: Option<u32>, fastest: Option<u32>) -> u32 {
    const COMMON: u32 = 1024;
    /// Cores of one kind reach frequencies that differ by a few percent, an efficiency core three quarters of a performance
    /// core's at most.
    const SAME_KIND: f64 = 0.85;
    match (frequency, fastest) {
        (Some(own), Some(fastest)) if f64::from(own) < SAME_KIND * f64::from(fastest) => {
            // In steps, so that those of one kind stay together.
            (f64::from(own) / f64::from(fastest) * 8.0).round() as u32 * COMMON / 8
        }
        _ => COMMON,
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs, io,
        process::{Child, Command},
    };

    use nix::{
        sched::{CpuSet, sched_getaffinity, sched_setaffinity},
        unistd::Pid,
    };

    use super::{Cpu, PlacementError, capacity};

    /// The calling thread.
    const SELF: Pid = Pid::from_raw(0);

    pub(super) fn usable_cpus() -> Result<Vec<Cpu>, PlacementError> {
        let usable =
            sched_getaffinity(SELF).map_err(|error| PlacementError::Unreadable(error.to_string()))?;
        let ids: Vec<u32> = (0..CpuSet::count())
            .filter(|id| usable.is_set(*id).unwrap_or(false))
            .map(|id| id as u32)
            .collect();
        let speed = |id: u32| read(id, "cpufreq/cpuinfo_max_freq");
        let fastest = ids.iter().filter_map(|id| speed(*id)).max();
        let describe = |id: u32| Cpu {
            id,
            // What sysfs does not tell counts as a physical core of its own, of the common kind.
            package: read(id, "topology/physical_package_id").unwrap_or(0),
            core: read(id, "topology/core_id").unwrap_or(id),
            capacity: read(id, "cpu_capacity").unwrap_or_else(|| capacity(speed(id), fastest)),
        };
        Ok(ids.iter().map(|id| describe(*id)).collect())
    }

    fn read(id: u32, file: &str) -> Option<u32> {
        let text = fs::read_to_string(format!("/sys/devices/system/cpu/cpu{id}/{file}"));
        text.ok().and_then(|text| text.trim().parse().ok())
    }

    pub(super) fn spawn_on(command: &mut Command, cores: &[u32]) -> io::Result<Child> {
        let before = sched_getaffinity(SELF)?;
        let mut wanted = CpuSet::new();
        for core in cores {
            wanted.set(*core as usize)?;
        }
        sched_setaffinity(SELF, &wanted)?;
        let child = command.spawn();
        sched_setaffinity(SELF, &before)?;
        child
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(id: u32, core: u32) -> Cpu {
        Cpu { id, package: 0, core, capacity: 1024 }
    }

    fn split(cpus: &[Cpu]) -> Result<Cores, PlacementError> {
        select(Placement::Split, 1, 1, cpus)
    }

    #[test]
    fn shared_takes_one_core() {
        let cores = select(Placement::Shared, 1, 1, &[cpu(0, 0), cpu(1, 1)]).unwrap();
        assert_eq!((cores.server, cores.client, cores.cores_shared), (vec![1], vec![1], false));
        // Two workers on one core are not what one worker is, however many cores the machine has.
        let cores =
            select(Placement::Shared, 2, 1, &(0..8).map(|id| cpu(id, id)).collect::<Vec<_>>()).unwrap();
        assert_eq!((cores.server, cores.client, cores.cores_shared), (vec![7], vec![7], true));
    }

    #[test]
    fn siblings_come_after_every_physical_core_and_are_said() {
        // Four physical cores whose threads have neighbouring numbers, as on many clouds.
        let adjacent: Vec<Cpu> = (0..8).map(|id| cpu(id, id / 2)).collect();
        let select = |servers| super::select(Placement::Split, servers, 1, &adjacent).unwrap();
        let two = select(2);
        assert_eq!((two.server, two.client, two.siblings), (vec![7, 5], vec![3], false));
        let three = select(3);
        assert_eq!((three.server, three.client, three.siblings), (vec![7, 5, 3], vec![1], false));
        let four = select(4);
        assert_eq!((four.server, four.client, four.siblings), (vec![7, 5, 3, 1], vec![6], true));
    }

    #[test]
    fn kinds_of_cores_are_told_by_their_frequency_where_the_kernel_does_not_say() {
        let of = |own| capacity(Some(own), Some(4_800_000));
        assert_eq!((of(4_800_000), of(4_600_000)), (1024, 1024));
        // Efficiency cores, and the low-power ones of the same processor.
        assert!(of(3_800_000) < 1024 && of(2_500_000) < of(3_800_000));
        assert_eq!(capacity(None, Some(4_800_000)), 1024);
    }

    #[test]
    fn split_takes_physical_cores_before_siblings() {
        // Two physical cores with two threads each, numbered as Linux does: 0 and 2 share a core, and 1 and 3.
        let cores = split(&[cpu(0, 0), cpu(1, 1), cpu(2, 0), cpu(3, 1)]).unwrap();
        assert_eq!((cores.server, cores.client, cores.siblings), (vec![3], vec![2], false));
        let cores = split(&[cpu(1, 1), cpu(3, 1)]).unwrap();
        assert_eq!((cores.server, cores.client, cores.siblings), (vec![3], vec![1], true));
    }

    #[test]
    fn split_takes_cores_of_one_kind() {
        let fast = |id| Cpu { capacity: 2048, ..cpu(id, id) };
        let cores = split(&[cpu(0, 0), fast(1), fast(2), cpu(3, 3)]).unwrap();
        assert_eq!((cores.server, cores.client), (vec![2], vec![1]));
        assert_eq!(split(&[cpu(0, 0), fast(1)]), Err(PlacementError::TooFew { all: 2, fastest: 1 }));
    }

    #[test]
    fn several_threads_take_several_cores_and_too_few_are_marked() {
        let four = [cpu(0, 0), cpu(1, 1), cpu(2, 2), cpu(3, 3)];
        let cores = select(Placement::Split, 2, 1, &four).unwrap();
        assert_eq!((cores.server, cores.client, cores.cores_shared), (vec![3, 2], vec![1], false));
        let cores = select(Placement::Split, 2, 1, &four[..2]).unwrap();
        assert_eq!((cores.server, cores.client, cores.cores_shared), (vec![1, 0], vec![0], true));
        let cores = select(Placement::Split, 8, 8, &four[..2]).unwrap();
        assert_eq!((cores.server, cores.client, cores.cores_shared), (vec![1, 0], vec![1, 0], true));
    }

    #[test]
    fn split_on_one_core_is_refused_with_the_reason() {
        let reason = split(&[cpu(0, 0)]).unwrap_err().to_string();
        assert!(reason.contains("1 core(s)") && reason.contains("--placement shared"), "{reason}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_starts_where_it_is_told_and_this_thread_stays() {
        let cpus = linux::usable_cpus().unwrap();
        let core = cpus.last().unwrap().id;
        let mut command = Command::new("grep");
        command.args(["Cpus_allowed_list", "/proc/self/status"]).stdout(std::process::Stdio::piped());
        let output = spawn_on(&mut command, &[core]).unwrap().wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.split_whitespace().last(), Some(core.to_string().as_str()));
        assert_eq!(linux::usable_cpus().unwrap(), cpus);
    }
}
