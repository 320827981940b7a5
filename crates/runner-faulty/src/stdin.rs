//! What a runner can do wrong with stdin.

use std::{io, mem::forget};

/// Puts a pipe in the place of stdin that never ends, so that its end is never seen.
pub fn ignore() -> anyhow::Result<()> {
    let (reader, writer) = io::pipe()?;
    nix::unistd::dup2_stdin(reader)?;
    // Open for as long as the process lives.
    forget(writer);
    Ok(())
}
