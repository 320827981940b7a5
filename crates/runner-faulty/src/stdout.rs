//! What a runner can do wrong on stdout.

use std::{
    fs::File,
    io::{self, Write},
};

/// Spoils stdout as the fault asks for, if it is one of those.
pub fn spoil(fault: &str) -> anyhow::Result<()> {
    match fault {
        "garbage" => println!("this is no event"),
        "binary" => io::stdout().write_all(b"\xff\xfe\x00\n")?,
        "flood" => loop {
            writeln!(io::stdout(), "{}", "x".repeat(1 << 20))?;
        },
        "endless-line" => loop {
            io::stdout().write_all(&[b'x'; 1 << 16])?;
        },
        "out-of-turn" => println!("{{\"event\":\"measured\",\"units\":1,\"elapsed_ns\":1}}"),
        "negative" => println!("{{\"event\":\"measured\",\"units\":-1,\"elapsed_ns\":1}}"),
        "not-a-number" => println!("{{\"event\":\"measured\",\"units\":NaN,\"elapsed_ns\":1}}"),
        _ => {}
    }
    Ok(())
}

/// Prints short lines without an end, until nobody reads them.
pub fn flood_lines() {
    while writeln!(io::stdout(), "{{}}").is_ok() {}
}

/// Gives stdout away: whoever reads it sees its end, and this process continues.
pub fn close() -> anyhow::Result<()> {
    Ok(nix::unistd::dup2_stdout(File::open("/dev/null")?)?)
}
