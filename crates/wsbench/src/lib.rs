//! The parts of the `wsbench` command. Dependencies point one way: `command` → `run` → `output` → `analysis`.

pub mod analysis;
pub mod command;
pub mod exit;
pub mod fuzz_entry;
pub mod output;
pub mod run;

/// Prints to stdout. A reader that has seen enough and closed the pipe (`| head`) is no error: the program ends.
pub fn exit_quietly_on_closed_pipe(text: &str) {
    use std::io::{ErrorKind, IsTerminal, Write};

    use output::terminal;

    let is_ascii = std::io::stdout().is_terminal() && terminal::is_ascii_locale();
    let text = if is_ascii { &terminal::ascii(text) } else { text };
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            terminal::say(&format!("error: stdout cannot be written: {error}"));
            std::process::exit(exit::FAILED.into());
        }
    }
}
