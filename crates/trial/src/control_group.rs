//! Limits that control groups put on this process and its children: a CPU quota, a memory limit and a number of threads, of
//! version 1 and 2.
//!
//! A container, and much of CI, runs under them. A quota lets every thread run at full speed and then stops all of them for
//! tens of milliseconds, which no figure of a process shows.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The control groups of this process: its own and those above it, whose limits hold for it, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ControlGroups {
    cpu: Vec<PathBuf>,
    memory: Vec<PathBuf>,
    pids: Vec<PathBuf>,
}

impl ControlGroups {
    /// Those of this process; none where the system does not tell.
    pub(crate) fn own() -> ControlGroups {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        ControlGroups::new(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    /// From the texts of /proc/PID/cgroup and /proc/PID/mountinfo.
    fn new(groups: &str, mounts: &str) -> ControlGroups {
        let folders = |controller: &str| -> Vec<PathBuf> {
            let Some((mount, own)) = mount_and_own(groups, mounts, controller) else { return Vec::new() };
            own.ancestors().take_while(|folder| folder.starts_with(&mount)).map(Path::to_owned).collect()
        };
        ControlGroups { cpu: folders("cpu"), memory: folders("memory"), pids: folders("pids") }
    }

    /// The CPU time that all processes together may take, in cores.
    pub(crate) fn cpu_quota(&self) -> Option<f64> {
        self.cpu.iter().filter_map(|folder| quota(folder)).min_by(f64::total_cmp)
    }

    /// Memory that all processes together may take, in bytes.
    pub(crate) fn memory_limit(&self) -> Option<u64> {
        let limit = |folder: &PathBuf| {
            let text = fs::read_to_string(folder.join("memory.max"))
                .or_else(|_| fs::read_to_string(folder.join("memory.limit_in_bytes")));
            text.ok()?.trim().parse::<u64>().ok()
        };
        self.memory.iter().filter_map(limit).filter(|limit| *limit < UNLIMITED).min()
    }

    /// Threads that all processes together may have, and that they have, of the group that leaves the fewest.
    pub(crate) fn pids_limit(&self) -> Option<(u64, u64)> {
        let number = |folder: &Path, file: &str| -> Option<u64> {
            fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
        };
        // `max` is no number, and no limit.
        let limit = |folder: &PathBuf| Some((number(folder, "pids.max")?, number(folder, "pids.current")?));
        self.pids.iter().filter_map(limit).min_by_key(|(most, used)| most.saturating_sub(*used))
    }

    /// Periods in which a quota has stopped one of the groups; `None` where none has a quota.
    pub(crate) fn throttled_periods(&self) -> Option<u64> {
        let limited: Vec<&PathBuf> = self.cpu.iter().filter(|folder| quota(folder).is_some()).collect();
        let periods = |folder: &&PathBuf| {
            let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.trim().parse::<u64>().ok())
        };
        (!limited.is_empty()).then(|| limited.iter().filter_map(periods).sum())
    }
}

/// The folder of the group that process `pid` (or `self`) is in, in the hierarchy of a controller; `None` where the system
/// does not tell.
pub(crate) fn folder_of(pid: &str, controller: &str) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mount_and_own(&groups, &mounts, controller).map(|(_, own)| own)
}

/// Where the hierarchy of a controller is mounted, and the folder of a process's own group in it.
fn mount_and_own(groups: &str, mounts: &str, controller: &str) -> Option<(PathBuf, PathBuf)> {
    let mount = mount_of(mounts, controller)?;
    let relative = path_of(groups, controller)?.trim_start_matches('/');
    // A container may see the path of its host, where nothing is mounted in it: then its root is its own group.
    let own = [mount.join(relative), mount.clone()].into_iter().find(|folder| folder.is_dir())?;
    Some((mount, own))
}

/// Version 1 has the largest number of pages where there is no limit: from here on a limit means none.
const UNLIMITED: u64 = 1 << 60;

/// The CPU quota of one group, in cores.
fn quota(folder: &Path) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    if let Some(text) = read("cpu.max") {
        let (quota, period) = text.trim().split_once(' ')?;
        return Some(number(quota)? / number(period)?);
    }
    // -1: no quota.
    let quota = number(&read("cpu.cfs_quota_us")?).filter(|quota| *quota > 0.0)?;
    Some(quota / number(&read("cpu.cfs_period_us")?)?)
}

/// The path of the group that has a controller, of version 1 or else of version 2.
fn path_of<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    let parts = || groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let of_controller = parts().find(|(controllers, _)| controllers.split(',').any(|own| own == controller));
    let unified = || parts().find(|(controllers, _)| controllers.is_empty());
    of_controller.or_else(unified).map(|(_, path)| path)
}

/// Where the hierarchy of a controller is mounted, of version 1 or else of version 2.
fn mount_of(mounts: &str, controller: &str) -> Option<PathBuf> {
    let mount = |line: &str| -> Option<(PathBuf, String, String)> {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split_whitespace();
        let (kind, options) = (after.next()?, after.nth(1)?);
        Some((PathBuf::from(before.split_whitespace().nth(4)?), kind.to_owned(), options.to_owned()))
    };
    let all: Vec<(PathBuf, String, String)> = mounts.lines().filter_map(mount).collect();
    let first = all
        .iter()
        .find(|(_, kind, options)| kind == "cgroup" && options.split(',').any(|option| option == controller));
    let second = || all.iter().find(|(_, kind, _)| kind == "cgroup2");
    first.or_else(second).map(|(folder, _, _)| folder.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn the_narrowest_limit_of_version_2_holds() {
        let folder = group(&[
            ("a/cpu.max", "150000 100000\n"),
            ("a/cpu.stat", "usage_usec 5\nnr_periods 9\nnr_throttled 4\nthrottled_usec 1\n"),
            ("a/memory.max", "max\n"),
            ("a/b/cpu.max", "max 100000\n"),
            ("a/b/cpu.stat", "nr_throttled 0\n"),
            ("a/b/memory.max", "1073741824\n"),
            ("a/pids.max", "1000\n"),
            ("a/pids.current", "900\n"),
            ("a/b/pids.max", "max\n"),
            ("a/b/pids.current", "90\n"),
        ]);
        let mounts =
            format!("29 23 0:26 / {} rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", folder.path().display());
        let groups = ControlGroups::new("0::/a/b\n", &mounts);
        assert_eq!(groups.cpu_quota(), Some(1.5));
        assert_eq!(groups.memory_limit(), Some(1 << 30));
        assert_eq!(groups.throttled_periods(), Some(4));
        assert_eq!(groups.pids_limit(), Some((1_000, 900)));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each_controller() {
        let folder = group(&[
            ("cpu/x/cpu.cfs_quota_us", "50000\n"),
            ("cpu/x/cpu.cfs_period_us", "100000\n"),
            ("cpu/x/cpu.stat", "nr_periods 3\nnr_throttled 2\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("memory/y/memory.limit_in_bytes", "9223372036854771712\n"),
            ("pids/z/pids.max", "64\n"),
            ("pids/z/pids.current", "3\n"),
        ]);
        let root = folder.path().display();
        let mounts = format!(
            "30 25 0:26 / {root}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n31 25 0:27 / {root}/memory rw - cgroup cgroup rw,memory\n32 25 0:28 / {root}/pids rw - cgroup cgroup rw,pids\n"
        );
        let groups = ControlGroups::new("4:cpu,cpuacct:/x\n3:memory:/y\n2:pids:/z\n0::/z\n", &mounts);
        assert_eq!((groups.cpu_quota(), groups.throttled_periods()), (Some(0.5), Some(2)));
        assert_eq!((groups.memory_limit(), groups.pids_limit()), (None, Some((64, 3))));
    }

    #[test]
    fn no_quota_is_none() {
        assert_eq!(ControlGroups::new("", ""), ControlGroups::default());
        assert_eq!(ControlGroups::default().throttled_periods(), None);
    }
}
