//! The rows: which there are, where their programs are, and whether they can be measured here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bench_core::row::BuildInfo;
use serde::Deserialize;
use trial::{DescribeError, Program};

use crate::{
    analysis::origin::short_build,
    exit::{Stop, unknown},
    run::request::{self, ALL, AVAILABLE, Request},
};

/// An entry of `runners/rows.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name of the row.
    pub name: String,
    /// Name of the executable that offers it.
    pub program: String,
    /// The command that builds it; `{release}` stands for the flag of a release build, `{folder}` for where it is
    /// looked for.
    pub build: String,
    /// What it is.
    pub about: String,
}

/// Every row of `runners/rows.toml`.
pub fn registry() -> Vec<Entry> {
    #[derive(Deserialize)]
    struct File {
        row: Vec<Entry>,
    }
    let file: File = toml::from_str(include_str!("../../../../runners/rows.toml"))
        .expect("a test reads the built-in list of rows");
    file.row
}

/// Finds and describes the programs of rows.
#[derive(Debug)]
pub struct Finder {
    directory: PathBuf,
    build: BuildInfo,
}

/// Rows that were asked for.
#[derive(Debug, Default)]
pub struct Rows {
    /// Those that can be measured, in the order asked for.
    pub programs: Vec<Program>,
    /// Those that cannot, with the reason.
    pub unavailable: BTreeMap<String, String>,
    /// Whether one of the latter was named by hand.
    pub missing: bool,
    /// Those of the first whose servers are started by a command, as they were asked for.
    pub started_by: Vec<String>,
}

impl Finder {
    /// Looks in `directory`, or else beside this program's own executable, for runners of the build `build`.
    ///
    /// # Errors
    /// When this program does not know where it is.
    pub fn new(directory: Option<PathBuf>, build: BuildInfo) -> Result<Finder, Stop> {
        let directory = match directory {
            Some(directory) => directory,
            None => std::env::current_exe()
                .ok()
                .and_then(|own| own.parent().map(Path::to_owned))
                .ok_or_else(|| Stop::failed("this program's own folder is unknown; give --runner-dir"))?,
        };
        Ok(Finder { directory, build })
    }

    /// Resolves `--rows`: `available`, `all`, names of rows, `ROW@PATH` for another build of a row, and `NAME=exec:COMMAND` or
    /// `@FILE` for a server that is started by a command.
    ///
    /// # Errors
    /// When a name is unknown, a program comes from another build, one that was named by hand is not a runner, or a command
    /// cannot be started.
    pub fn select(&self, wanted: &[String]) -> Result<Rows, Stop> {
        let registry = registry();
        let names: Vec<&str> = registry.iter().map(|entry| entry.name.as_str()).collect();
        let mut rows = Rows::default();
        for request in request::parse(wanted, &names)? {
            match request {
                Request::All => {
                    for name in &names {
                        self.add(&mut rows, name, Named::AsOneOfAll)?;
                    }
                }
                Request::Named(name) => self.add(&mut rows, &name, Named::ByHand)?,
                Request::StartedBy { name, exec, text } => {
                    if rows.programs.iter().any(|program| program.row == name) {
                        return Err(Stop::usage(format!(
                            "two rows are called `{name}`: give one another name"
                        )));
                    }
                    let guardian = std::env::current_exe().map_err(|error| {
                        Stop::failed(format!("this program's own file is unknown: {error}"))
                    })?;
                    let program = Program::started_by(*exec, &name, &guardian);
                    rows.programs.push(program.map_err(|error| Stop::usage(format!("{name}: {error}")))?);
                    rows.started_by.push(text);
                }
            }
        }
        Ok(rows)
    }

    /// The rows of an earlier run, by the names that they had there and the entries that started servers by a command.
    ///
    /// # Errors
    /// As with [`Finder::select`].
    pub fn select_again(&self, started_by: &[String], names: &[String]) -> Result<Rows, Stop> {
        let mut rows = self.select(started_by)?;
        for name in names {
            self.add(&mut rows, name, Named::ByHand)?;
        }
        Ok(rows)
    }

    fn add(&self, rows: &mut Rows, name: &str, named: Named) -> Result<(), Stop> {
        if rows.programs.iter().any(|program| program.row == name) {
            return Ok(());
        }
        match self.find(name) {
            Ok(program) => rows.programs.push(program),
            Err(Missing::Here(reason)) => {
                rows.unavailable.insert(name.to_owned(), reason);
                rows.missing |= named == Named::ByHand;
            }
            // It is no reason not to measure the others.
            Err(Missing::Broken(reason)) if named == Named::AsOneOfAll => {
                rows.unavailable.insert(name.to_owned(), reason);
            }
            Err(Missing::Broken(reason)) => return Err(Stop::failed(reason)),
            Err(Missing::Fatal(stop)) => return Err(stop),
        }
        Ok(())
    }

    /// The program of one row.
    ///
    /// # Errors
    /// When the row is unknown or not available, or its program is not a runner or comes from another build.
    pub fn find(&self, name: &str) -> Result<Program, Missing> {
        if let Some((row, path)) = name.split_once('@') {
            let program = describe(Path::new(path), row)?;
            return Ok(Program { row: name.to_owned(), ..program });
        }
        let registry = registry();
        let Some(entry) = registry.iter().find(|entry| entry.name == name) else {
            let mut known: Vec<&str> = registry.iter().map(|entry| entry.name.as_str()).collect();
            known.extend([AVAILABLE, ALL, "ROW@PATH"]);
            return Err(Missing::Fatal(unknown("row", name, &known)));
        };
        let path = self.directory.join(&entry.program).with_extension(std::env::consts::EXE_EXTENSION);
        if !path.exists() {
            return Err(Missing::Here(format!("not built: {}", self.build_command(entry))));
        }
        let program = describe(&path, name).map_err(|missing| match missing {
            Missing::Broken(reason) => {
                Missing::Broken(format!("{reason}: run {}", self.build_command(entry)))
            }
            other => other,
        })?;
        match &program.info.build {
            Some(build) if !build.is_same_as(&self.build) => Err(Missing::Fatal(Stop::failed(format!(
                "{} is of another build than wsbench ({} instead of {}): `cargo build --workspace{}` builds both, and \
                 `{name}@{}` measures it as it is",
                path.display(),
                short_build(build),
                short_build(&self.build),
                self.release_flag(),
                path.display()
            )))),
            _ => Ok(program),
        }
    }

    fn build_command(&self, entry: &Entry) -> String {
        let folder = self.directory.display().to_string();
        format!("`{}`", entry.build.replace("{release}", self.release_flag()).replace("{folder}", &folder))
    }

    /// What cargo needs for a build in this one's profile. What is measured has no default features.
    fn release_flag(&self) -> &'static str {
        if self.build.is_release() { " --release --no-default-features" } else { "" }
    }
}

/// How a row was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// By its own name: its absence is a fault.
    ByHand,
    /// By a word for all rows.
    AsOneOfAll,
}

/// Why there is no program for a row.
#[derive(Debug)]
pub enum Missing {
    /// The row exists, but not on this machine.
    Here(String),
    /// Its program does not answer as a runner does.
    Broken(String),
    /// Nothing should be run.
    Fatal(Stop),
}

impl From<Missing> for Stop {
    fn from(missing: Missing) -> Stop {
        match missing {
            Missing::Here(reason) | Missing::Broken(reason) => Stop::failed(reason),
            Missing::Fatal(stop) => stop,
        }
    }
}

fn describe(path: &Path, row: &str) -> Result<Program, Missing> {
    Program::describe(path, &[], row).map_err(|error| match error {
        DescribeError::Unavailable(reason) => Missing::Here(reason),
        DescribeError::Broken(reason) => Missing::Broken(reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_rows_is_sound() {
        let names: Vec<String> = registry().into_iter().map(|entry| entry.name).collect();
        for name in ["tokio", "async-std", "smol"] {
            assert!(names.contains(&name.to_owned()));
        }
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }
}
