//! Which cores a trial's processes run on.

use std::{
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
    /// Whether server and client sit on two threads of one physical core, because there is no other.
    pub siblings: bool,
    /// Whether server and client share a core although each should have its own, because there are too few: such a
    /// trial cannot be compared with one of rows that need fewer.
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
        return Ok(Cores { server: one.clone(), client: one, siblings: false, cores_shared: false });
    }
    let same_core = |cpu: &Cpu| (cpu.package, cpu.core) == (first.package, first.core);
    // Another physical core before a sibling, the same package before another one.
    let mut of_one_kind: Vec<&Cpu> = cpus.iter().filter(|cpu| cpu.capacity == first.capacity).collect();
    of_one_kind.sort_by_key(|cpu| {
        let first_of_all = cpu.id == first.id;
        std::cmp::Reverse((first_of_all, !same_core(cpu), cpu.package == first.package, cpu.id))
    });
    if of_one_kind.len() < 2 {
        return Err(PlacementError::TooFew { all: cpus.len(), fastest: of_one_kind.len() });
    }
    let (servers, clients) = (server_threads as usize, client_threads as usize);
    let ids: Vec<u32> = of_one_kind.iter().map(|cpu| cpu.id).collect();
    let server = ids.iter().copied().take(servers).collect();
    // With too few cores the client begins on the one that the server takes last.
    let start = servers.min(ids.len().saturating_sub(clients));
    let client = ids.iter().copied().skip(start).take(clients).collect();
    Ok(Cores {
        server,
        client,
        siblings: servers == 1 && same_core(of_one_kind[1]),
        cores_shared: servers + clients > ids.len(),
    })
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

    use super::{Cpu, PlacementError};

    /// The calling thread.
    const SELF: Pid = Pid::from_raw(0);

    pub(super) fn usable_cpus() -> Result<Vec<Cpu>, PlacementError> {
        let usable =
            sched_getaffinity(SELF).map_err(|error| PlacementError::Unreadable(error.to_string()))?;
        let cpus = (0..CpuSet::count()).filter(|id| usable.is_set(*id).unwrap_or(false));
        Ok(cpus.map(|id| describe(id as u32)).collect())
    }

    /// What sysfs does not tell counts as a physical core of its own, of the common kind.
    fn describe(id: u32) -> Cpu {
        let read = |file: &str| {
            let text = fs::read_to_string(format!("/sys/devices/system/cpu/cpu{id}/{file}"));
            text.ok().and_then(|text| text.trim().parse().ok())
        };
        Cpu {
            id,
            package: read("topology/physical_package_id").unwrap_or(0),
            core: read("topology/core_id").unwrap_or(id),
            capacity: read("cpu_capacity").unwrap_or(1024),
        }
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
        let cores = select(Placement::Shared, 2, 1, &[cpu(0, 0), cpu(1, 1)]).unwrap();
        assert_eq!((cores.server, cores.client), (vec![1], vec![1]));
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
