//! `help`: explains a command or a term.

use clap::{Args, Command};

use crate::{
    exit::{OK, Stop},
    output::{
        print::print,
        terms::{TERMS, Term, explain},
    },
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
            let line = |term: &Term| {
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
    print(&text);
    Ok(OK)
}
