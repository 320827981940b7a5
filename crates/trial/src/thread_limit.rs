//! How many threads there may be: a row with a thread for each connection reaches limits that no other row comes near.

/// A limit on threads, all processes that it counts together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadLimit {
    /// What it is, and where it is set.
    pub name: &'static str,
    /// Most threads.
    pub most: u64,
    /// Threads that there are.
    pub used: u64,
}

impl ThreadLimit {
    /// Threads that may still be started.
    pub fn left(&self) -> u64 {
        self.most.saturating_sub(self.used)
    }
}

/// The limits on threads that hold for this process and its children; none where the system does not tell.
pub fn thread_limits() -> Vec<ThreadLimit> {
    #[cfg(target_os = "linux")]
    return linux::all().collect();
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use nix::sys::resource::{Resource, getrlimit};

    use super::ThreadLimit;
    use crate::control_group::ControlGroups;

    pub(super) fn all() -> impl Iterator<Item = ThreadLimit> {
        [of_user(), of_system("threads-max", "kernel.threads-max"), of_system("pid_max", "kernel.pid_max")]
            .into_iter()
            .flatten()
            .chain(ControlGroups::own().pids_limit().map(|(most, used)| ThreadLimit {
                name: "pids.max of the control group",
                most,
                used,
            }))
    }

    /// The limit of one user, which the kernel keeps neither root nor whoever may raise it to.
    fn of_user() -> Option<ThreadLimit> {
        let uid = nix::unistd::getuid();
        let (soft, _) = getrlimit(Resource::RLIMIT_NPROC).ok()?;
        if soft == nix::libc::RLIM_INFINITY || (uid.is_root() && is_initial_namespace()) {
            return None;
        }
        let own = procfs::process::all_processes().ok()?.flatten();
        let own = own.filter(|process| process.uid().is_ok_and(|owner| owner == uid.as_raw()));
        let used = own.filter_map(|process| u64::try_from(process.stat().ok()?.num_threads).ok()).sum();
        Some(ThreadLimit { name: "processes of a user, ulimit -u", most: soft, used })
    }

    /// Whether root is the root of the whole machine: in a container it may be anybody.
    fn is_initial_namespace() -> bool {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        map.split_whitespace().eq(["0", "0", "4294967295"])
    }

    /// A limit of the whole system.
    fn of_system(file: &str, name: &'static str) -> Option<ThreadLimit> {
        let most = fs::read_to_string(format!("/proc/sys/kernel/{file}")).ok()?.trim().parse().ok()?;
        // Running and all threads, as in `0.41 0.57 1.11 2/345 14282`.
        let load = fs::read_to_string("/proc/loadavg").ok()?;
        let used = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
        Some(ThreadLimit { name, most, used })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_counted() {
        let limits = thread_limits();
        assert!(limits.iter().any(|limit| limit.name == "kernel.threads-max"), "{limits:?}");
        assert!(limits.iter().all(|limit| limit.used > 0 && limit.left() < limit.most), "{limits:?}");
    }
}
