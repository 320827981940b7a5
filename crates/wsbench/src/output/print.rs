//! Printing to stdout.

use std::io::{ErrorKind, IsTerminal, Write};

use super::terminal;
use crate::exit::FAILED;

/// Prints to stdout. A reader that has seen enough and closed the pipe (`| head`) is not an error, so the program just ends.
pub fn print(text: &str) {
    let is_ascii = std::io::stdout().is_terminal() && terminal::is_ascii_locale();
    let text = if is_ascii { &terminal::ascii(text) } else { text };
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            terminal::say(&format!("error: stdout cannot be written: {error}"));
            std::process::exit(FAILED.into());
        }
    }
}
