//! A control group that holds the processes of one server and nothing else, for the CPU time of all of them, of version 1
//! or 2.

use std::{fs, io, path::PathBuf, process};

use crate::control_group::folder_of;

/// A control group of its own.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
}

/// CPU time that the processes of a group have used, those that have ended included, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) total_ns: u64,
    pub(super) user_ns: u64,
    pub(super) system_ns: u64,
}

impl Group {
    /// The group that the guardian `pid` has made, where it has.
    pub fn of(pid: u32) -> Option<Group> {
        let folder = folder_of(&pid.to_string(), "cpuacct")?.join(name(pid));
        folder.is_dir().then_some(Group { folder })
    }

    /// Makes a group for what this process starts.
    ///
    /// # Errors
    /// Where control groups are not mounted, or this process may not make one.
    pub fn create() -> io::Result<Group> {
        let own = folder_of("self", "cpuacct").ok_or(io::ErrorKind::NotFound)?;
        let folder = own.join(name(process::id()));
        fs::create_dir(&folder)?;
        Ok(Group { folder })
    }

    /// Carries out `start` with this process in the group, so that what it starts is there from its first instruction.
    ///
    /// # Errors
    /// When this process cannot be moved there and back, or what `start` fails with.
    pub fn with<T>(&self, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let own = self.folder.parent().ok_or(io::ErrorKind::NotFound)?;
        let enter =
            |folder: &std::path::Path| fs::write(folder.join("cgroup.procs"), process::id().to_string());
        enter(&self.folder)?;
        let started = start();
        enter(own)?;
        started
    }

    /// Removes the group, which has to be empty.
    ///
    /// # Errors
    /// When it is not.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir(&self.folder)
    }

    pub(super) fn cpu(&self) -> Option<Cpu> {
        let read = |file: &str| fs::read_to_string(self.folder.join(file)).ok();
        if let Some(text) = read("cpu.stat").filter(|text| text.contains("usage_usec")) {
            let field = |name: &str| {
                let of_name = |line: &str| line.strip_prefix(name)?.trim().parse::<u64>().ok();
                Some(text.lines().find_map(of_name)? * 1_000)
            };
            let (total_ns, user_ns, system_ns) =
                (field("usage_usec ")?, field("user_usec ")?, field("system_usec ")?);
            return Some(Cpu { total_ns, user_ns, system_ns });
        }
        let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
        Some(Cpu {
            total_ns: number("cpuacct.usage")?,
            user_ns: number("cpuacct.usage_user")?,
            system_ns: number("cpuacct.usage_sys")?,
        })
    }
}

fn name(guardian: u32) -> String {
    format!("wsbench-{guardian}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let group = Group { folder: folder.path().to_owned() };
        assert_eq!(group.cpu(), None);
        for (file, number) in [("cpuacct.usage", 9), ("cpuacct.usage_user", 5), ("cpuacct.usage_sys", 4)] {
            fs::write(folder.path().join(file), format!("{number}\n")).unwrap();
        }
        assert_eq!(group.cpu(), Some(Cpu { total_ns: 9, user_ns: 5, system_ns: 4 }));
        let text = "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 0\n";
        fs::write(folder.path().join("cpu.stat"), text).unwrap();
        assert_eq!(group.cpu(), Some(Cpu { total_ns: 30_000, user_ns: 20_000, system_ns: 10_000 }));
    }
}
