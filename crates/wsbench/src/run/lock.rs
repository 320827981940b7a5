//! One measurement at a time: two would measure each other.
//!
//! The lock belongs to an open file and not to the file's existence, so that whoever holds it and is killed leaves it
//! free.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::{Deserialize, Serialize};
use trial::record::{command_line, unix_ms};

use crate::{exit::Stop, output::terminal::say};

/// Flags of commands that measure.
#[derive(Args, Clone, Debug, Default)]
pub struct LockArguments {
    /// File whose lock says that somebody measures; one for each user, in the folder for temporary files, when not given
    #[arg(long, value_name = "FILE", env = "WSBENCH_LOCK")]
    pub lock: Option<PathBuf>,
    /// Wait until nobody else measures, instead of refusing
    #[arg(long)]
    pub wait: bool,
}

/// The lock, until it is dropped.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "held, not used")] File);

/// Who holds it, as the file says.
#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    command: Vec<String>,
    since_unix_ms: u64,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// When somebody else has it, by name, or the file cannot be used.
    pub fn take(arguments: &LockArguments) -> Result<Lock, Stop> {
        let path = arguments.lock.clone().unwrap_or_else(default_path);
        let fail = |what: &str, error: &dyn std::fmt::Display| {
            Stop::failed(format!(
                "the lock {} cannot be {what}: {error}; --lock names another file",
                path.display()
            ))
        };
        let mut file = open(&path).map_err(|error| fail("opened", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if arguments.wait => {
                say(&format!("waiting for {}", holder(&path)));
                file.lock().map_err(|error| fail("taken", &error))?;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Stop::failed(format!(
                    "{} is measuring on this machine, and two at once would measure each other: --wait begins when it is \
                     done",
                    holder(&path)
                )));
            }
            Err(TryLockError::Error(error)) => return Err(fail("taken", &error)),
        }
        // What it says is for people: a lock that is held without saying by whom is still held.
        let _ = introduce(&mut file);
        Ok(Lock(file))
    }
}

/// In a folder that everybody may write to: a link that somebody laid there is not followed.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        options.mode(0o600).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
    }
    options.open(path)
}

/// Not XDG_RUNTIME_DIR, which a run from cron would not have.
fn default_path() -> PathBuf {
    #[cfg(unix)]
    let user = nix::unistd::getuid().to_string();
    #[cfg(not(unix))]
    let user = std::env::var("USERNAME").unwrap_or_default();
    std::env::temp_dir().join(format!("wsbench-{user}.lock"))
}

fn introduce(file: &mut File) -> std::io::Result<()> {
    let holder = Holder { pid: std::process::id(), command: command_line(), since_unix_ms: unix_ms() };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(&holder)?.as_bytes())
}

/// Whoever holds the lock, for a person.
fn holder(path: &Path) -> String {
    const LONGEST: u64 = 1 << 16;
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    match read.ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok()) {
        Some(holder) => {
            let since = i64::try_from(holder.since_unix_ms)
                .ok()
                .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
                .map_or_else(String::new, |since| {
                    format!(" since {}", since.strftime("%Y-%m-%d %H:%M:%S UTC"))
                });
            format!("process {} (`{}`{since})", holder.pid, holder.command.join(" "))
        }
        None => format!("another process, which has locked {},", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_the_first_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = LockArguments { lock: Some(folder.path().join("lock")), wait: false };
        let first = Lock::take(&arguments).unwrap();
        let refused = Lock::take(&arguments).unwrap_err().message;
        assert!(refused.contains(&format!("process {} (`", std::process::id())), "{refused}");
        assert!(refused.contains(" since 20") && refused.contains("--wait"), "{refused}");
        drop(first);
        Lock::take(&arguments).unwrap();
    }

    #[test]
    fn a_lock_that_cannot_be_used_is_named() {
        let nowhere = LockArguments { lock: Some("no/such/folder/lock".into()), wait: false };
        assert!(Lock::take(&nowhere).unwrap_err().message.contains("no/such/folder/lock cannot be opened"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("precious"), folder.path().join("lock"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(Lock::take(&LockArguments { lock: Some(link), wait: false }).is_err());
        assert_eq!(fs::read_to_string(target).unwrap(), "precious");
    }
}
