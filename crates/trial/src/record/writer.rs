//! Result files while they are written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

use super::{Line, seal};

/// Appends lines to a result file, each whole and flushed, so that what is finished is never lost.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Opens `path` for appending and creates it where it does not exist.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(path: &Path) -> io::Result<Writer> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        Ok(Writer { file, path: path.to_owned() })
    }

    /// Writes one line.
    ///
    /// # Errors
    /// When the file cannot be written, for instance because the disk is full.
    pub fn write(&mut self, line: &Line) -> io::Result<()> {
        let json = seal::seal(&serde_json::to_string(line)?) + "\n";
        let before = self.file.metadata()?;
        // One write, so that an interruption leaves at most one line without its end.
        let written = self.file.write_all(json.as_bytes()).and_then(|()| self.file.flush());
        if written.is_err() && before.is_file() {
            // A disk that is full has taken a part of the line. Where cutting fails as well, `--resume` does it.
            let _ = self.file.set_len(before.len());
        }
        written
    }

    /// Whether the file is still what its path leads to: one whose folder was deleted goes on taking lines, and is gone
    /// when it is closed.
    pub fn is_in_place(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;

            let of = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
            let (own, there) = (self.file.metadata().map(of), std::fs::metadata(&self.path).map(of));
            own.is_ok_and(|own| there.is_ok_and(|there| own == there))
        }
        #[cfg(not(unix))]
        self.path.exists()
    }

    /// Copies everything that the file holds to a new file.
    ///
    /// # Errors
    /// When it cannot be read, or the other one cannot be written or exists already.
    pub fn copy_to(&mut self, path: &Path) -> io::Result<()> {
        let mut copy = OpenOptions::new().write(true).create_new(true).open(path)?;
        self.file.rewind()?;
        io::copy(&mut self.file, &mut copy)?;
        copy.sync_all()
    }
}
