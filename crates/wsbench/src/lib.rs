//! The parts of the `wsbench` command: what is measured, in which order, and what is made of the results.

mod cast;
pub mod check;
pub mod compare;
pub mod curve;
pub mod exit;
mod export;
pub mod external;
pub mod files;
pub mod hostile;
pub mod inert;
pub mod list;
pub mod lock;
pub mod manual;
mod matrix;
pub mod offers;
pub mod output;
pub mod plan;
mod progress;
pub mod rates;
pub mod report;
pub mod results;
mod rounds;
pub mod rows;
pub mod run;
pub mod select;
pub mod selftest;
mod signals;
mod slope;
pub mod soak;
pub mod statistics;
pub mod summary;
pub mod table;
pub mod terms;
mod text;
pub mod verdict;
pub mod verify;
mod workers;

/// Prints to stdout. A reader that has seen enough and closed the pipe (`| head`) is no error: the program ends.
pub fn exit_quietly_on_closed_pipe(text: &str) {
    use std::io::{ErrorKind, IsTerminal, Write};

    let is_ascii = std::io::stdout().is_terminal() && inert::is_ascii_locale();
    let text = if is_ascii { &inert::ascii(text) } else { text };
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            inert::say(&format!("error: stdout cannot be written: {error}"));
            std::process::exit(exit::FAILED.into());
        }
    }
}
