//! `completions`: prints the completions of a shell.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{
    exit::{OK, Stop},
    output::print::print,
};

/// Flags of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Prints the completions of a shell.
///
/// # Errors
/// None.
pub fn completions(arguments: &CompletionsArguments, mut command: Command) -> Result<u8, Stop> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "wsbench", &mut text);
    print(&String::from_utf8_lossy(&text));
    Ok(OK)
}
