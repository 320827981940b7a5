//! What `--rows` asks for, entry by entry.

use std::path::Path;

use trial::exec::{self, Exec};

use crate::exit::Stop;

/// What `--rows` takes for every row that can be measured here.
pub(crate) const AVAILABLE: &str = "available";
/// What `--rows` takes for every row.
pub(crate) const ALL: &str = "all";

/// One entry of `--rows`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// All rows that can be measured here.
    All,
    /// One row by its name.
    Named(String),
    /// A server that is started by a command.
    StartedBy {
        /// The row.
        name: String,
        /// The server.
        exec: Box<Exec>,
        /// The entry.
        text: String,
    },
}

/// What stands between the name of a row and the command that starts its server.
const EXEC: &str = "exec:";

/// Reads the entries, which the command line has split at commas. `known` are the names of rows.
///
/// # Errors
/// When a command or a file cannot be used, or the name of its row is that of another one.
pub(crate) fn parse(wanted: &[String], known: &[&str]) -> Result<Vec<Request>, Stop> {
    joined(wanted, known).into_iter().map(|entry| request(entry, known)).collect()
}

fn request(entry: String, known: &[&str]) -> Result<Request, Stop> {
    if entry == AVAILABLE || entry == ALL {
        return Ok(Request::All);
    }
    let (name, exec) = if let Some(file) = entry.strip_prefix('@') {
        exec::read(Path::new(file)).map_err(Stop::usage)?
    } else if let Some((name, command)) = split_command(&entry) {
        let exec = Exec::parse(command).map_err(|error| Stop::usage(format!("{entry}: {error}")))?;
        (name.map_or_else(|| name_of(&exec), str::to_owned), exec)
    } else {
        return Ok(Request::Named(entry));
    };
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(Stop::usage(format!(
            "`{name}` cannot be the name of a row: use letters, digits, and the characters . _ -"
        )));
    }
    if known.contains(&name.as_str()) {
        return Err(Stop::usage(format!("there is a row `{name}` already: give yours another name")));
    }
    Ok(Request::StartedBy { name, exec: Box::new(exec), text: entry })
}

/// The name, if there is one, and the command of an entry that has a command.
fn split_command(entry: &str) -> Option<(Option<&str>, &str)> {
    if let Some(command) = entry.strip_prefix(EXEC) {
        return Some((None, command));
    }
    let (name, rest) = entry.split_once('=')?;
    Some((Some(name), rest.strip_prefix(EXEC)?))
}

/// The name of the program stands for a row that was given none.
fn name_of(exec: &Exec) -> String {
    let program = Path::new(&exec.command[0]).file_stem().unwrap_or_default();
    program.to_string_lossy().into_owned()
}

/// The entries with the commas that belong to a command: what follows a command belongs to it, unless it is an entry.
fn joined(wanted: &[String], known: &[&str]) -> Vec<String> {
    let is_entry = |text: &str| {
        let row = text.split('@').next().unwrap_or_default();
        split_command(text).is_some()
            || row.is_empty()
            || [AVAILABLE, ALL].contains(&row)
            || known.contains(&row)
    };
    let mut entries: Vec<String> = Vec::new();
    for text in wanted {
        match entries.last_mut() {
            Some(last) if split_command(last).is_some() && !is_entry(text) => {
                last.push(',');
                last.push_str(text);
            }
            _ => entries.push(text.clone()),
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(rows: &str) -> Result<Vec<Request>, String> {
        let wanted: Vec<String> = rows.split(',').map(str::to_owned).collect();
        parse(&wanted, &["tokio", "smol"]).map_err(|stop| stop.message)
    }

    fn started_by(name: &str, text: &str, command: &[&str]) -> Request {
        let exec = Exec::parse("x {port}").unwrap();
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let exec = Box::new(Exec { command, ..exec });
        Request::StartedBy { name: name.to_owned(), exec, text: text.to_owned() }
    }

    #[test]
    fn commands_stand_beside_names_and_keep_their_commas() {
        let node = started_by("node", "node=exec:node s.mjs {port}", &["node", "s.mjs", "{port}"]);
        let smol = || Request::Named("smol".to_owned());
        assert_eq!(requests("node=exec:node s.mjs {port},smol").unwrap(), [node, smol()]);
        let own =
            started_by("server", "exec:./server --at a,b {port}", &["./server", "--at", "a,b", "{port}"]);
        assert_eq!(
            requests("available,exec:./server --at a,b {port},smol@./other").unwrap(),
            [Request::All, own, Request::Named("smol@./other".to_owned())]
        );
    }

    #[test]
    fn what_cannot_be_a_row_is_refused() {
        assert!(
            requests("tokio=exec:./server {port}").unwrap_err().contains("there is a row `tokio` already")
        );
        assert!(requests("a b=exec:./server {port}").unwrap_err().contains("cannot be the name of a row"));
        assert!(requests("mine=exec:./server").unwrap_err().contains("write {port} into the command"));
        assert!(requests("@no/such.toml").unwrap_err().contains("no/such.toml: "));
    }
}
