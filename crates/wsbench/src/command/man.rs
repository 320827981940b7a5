//! `man`: writes man pages.

use std::path::PathBuf;

use clap::{Args, Command};

use crate::{
    exit::{OK, Stop},
    output::print::print,
};

/// Flags of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArguments {
    /// Folder for them
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes a man page for the program and one for each command into a folder.
///
/// # Errors
/// When they cannot be written.
pub fn man(arguments: &ManArguments, command: Command) -> Result<u8, Stop> {
    let folder = &arguments.folder;
    let refuse = |error| Stop::failed(format!("{} cannot be written: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(refuse)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), folder).map_err(refuse)?;
    print(&format!("{}\n", folder.display()));
    Ok(OK)
}
