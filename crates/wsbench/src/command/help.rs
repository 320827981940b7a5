//! Help beyond `--help`: terms, man pages and completions of shells.

use std::path::Path;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{
    exit::{OK, Stop},
    exit_quietly_on_closed_pipe,
    output::terms::{TERMS, explain},
};

/// Flags of `help`.
#[derive(Args, Clone, Debug)]
pub struct HelpArguments {
    /// A command, or a term such as paced, closed, "A/A floor" or tie; all terms when not given
    #[arg(value_name = "TERM")]
    words: Vec<String>,
}

/// Explains a command or a term.
///
/// # Errors
/// When there is neither.
pub fn help(arguments: &HelpArguments, mut command: Command) -> Result<u8, Stop> {
    let text = match &arguments.words[..] {
        [] => {
            let width = TERMS.iter().map(|term| term.word.len()).max().unwrap_or(0);
            let line = |term: &crate::output::terms::Term| {
                let (first, _) = term.meaning.split_once(['.', ',', ':']).unwrap_or((term.meaning, ""));
                format!("  {:width$}  {first}\n", term.word)
            };
            let terms: String = TERMS.iter().map(line).collect();
            format!("{}\nTerms, for `wsbench help TERM`:\n{terms}", command.render_help())
        }
        [name] if command.find_subcommand(name).is_some() => {
            command.build();
            let found = command.find_subcommand_mut(name);
            found.map_or(String::new(), |command| command.render_long_help().to_string())
        }
        words => explain(words)?,
    };
    exit_quietly_on_closed_pipe(&text);
    Ok(OK)
}

/// Prints the completions of a shell.
pub fn completions(shell: Shell, mut command: Command) -> u8 {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "wsbench", &mut text);
    exit_quietly_on_closed_pipe(&String::from_utf8_lossy(&text));
    OK
}

/// Writes a man page for the program and one for each command into a folder.
///
/// # Errors
/// When they cannot be written.
pub fn man(folder: &Path, command: Command) -> Result<u8, Stop> {
    let refuse = |error| Stop::failed(format!("{} cannot be written: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(refuse)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), folder).map_err(refuse)?;
    exit_quietly_on_closed_pipe(&format!("{}\n", folder.display()));
    Ok(OK)
}
