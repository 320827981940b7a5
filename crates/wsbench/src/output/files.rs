//! Files that wsbench writes: records, which only ever grow, and reports, which appear whole or not at all.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use trial::record::{Line, Writer, unix_ms};

use crate::exit::Stop;

/// Writes a report: to a temporary file in the same folder, which then takes the place of `path`. Whatever fails, what
/// stood there before is untouched.
///
/// # Errors
/// When the folder cannot be written or the disk is full, with the path and what to do.
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), Stop> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let written = || -> io::Result<()> {
        // Said without the temporary file's name, which means nothing to anybody.
        fs::metadata(folder)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".wsbench-");
        // As any other file that a program makes; the user's mask takes away what it takes away.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.as_file_mut().write_all(contents)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(|error| {
        let shown = path.display();
        Stop::failed(format!(
            "{shown} cannot be written: {error}; what was there before is untouched: give another file, or make room"
        ))
    })
}

/// The result file of a run.
pub(crate) struct Records {
    writer: Writer,
    path: PathBuf,
}

impl Records {
    /// Opens a result file to append to, and creates it if it does not exist.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn append(path: &Path) -> Result<Records, Stop> {
        let writer = Writer::append(path).map_err(|error| {
            Stop::usage(format!("{} cannot be written: {error}; --out names another file", path.display()))
        })?;
        Ok(Records { writer, path: path.to_owned() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a line.
    ///
    /// # Errors
    /// When it cannot be kept, or would be gone at the end of this program: nothing more should be measured then.
    pub(crate) fn write(&mut self, line: &Line) -> Result<(), Stop> {
        let shown = self.path.display();
        self.writer.write(line).map_err(|error| {
            Stop::failed(format!(
                "{shown} cannot be written any more: {error}; what was finished before is in it: make room, and go on with \
                 `wsbench run --resume {shown}`"
            ))
        })?;
        // A device or a pipe is no file that could be moved away.
        if self.writer.is_in_place() {
            return Ok(());
        }
        let rescue = std::env::temp_dir().join(format!("wsbench-rescued-{}.ndjson", unix_ms()));
        Err(Stop::failed(match self.writer.copy_to(&rescue) {
            Ok(()) => format!(
                "{shown} was moved or deleted during the run; all records are in {0}: go on with \
                 `wsbench run --resume {0}`",
                rescue.display()
            ),
            Err(error) => format!(
                "{shown} was moved or deleted during the run, and its records cannot be saved as {} either: {error}; where it \
                 was moved, it still holds them",
                rescue.display()
            ),
        }))
    }
}

/// A file that ends within a line would swallow the first line of a new run.
///
/// # Errors
/// When `path` is such a file.
pub(crate) fn refuse_unfinished_line(path: &Path) -> Result<(), Stop> {
    let last_byte = || {
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last).map(|()| last[0])
    };
    match (path.is_file(), last_byte()) {
        (true, Ok(last)) if last != b'\n' => Err(Stop::usage(format!(
            "{}: its last line has no end, so nothing can be appended: give another --out, or finish the interrupted run \
             with --resume",
            path.display()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_takes_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.md");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn what_cannot_be_written_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let stop = replace(&folder.path().join("no/such/report.md"), b"x").unwrap_err();
        assert!(stop.message.contains("cannot be written"), "{stop}");
        // A folder cannot be replaced by a file.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary is left");
    }
}
