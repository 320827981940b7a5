//! What a runner can do wrong on stdout.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, PipeReader, Read, Write},
    os::fd::AsFd,
    process::ExitCode,
    thread,
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

/// Runs `main` with a pipe for its stdout, whose other end `copy` reads and writes to the real one.
pub fn through(
    copy: fn(PipeReader, File) -> io::Result<()>,
    main: impl FnOnce() -> ExitCode,
) -> anyhow::Result<ExitCode> {
    let own = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let (reader, writer) = io::pipe()?;
    nix::unistd::dup2_stdout(writer)?;
    let to = own.try_clone()?;
    let copying = thread::spawn(move || copy(reader, to));
    let code = main();
    // The pipe had no other writer, so that `copy` comes to its end.
    nix::unistd::dup2_stdout(own)?;
    copying.join().map_err(|_| anyhow::anyhow!("the copy of stdout panicked"))??;
    Ok(code)
}

/// What a block buffer does that nobody flushes: everything comes at the end.
pub fn hold_back(mut from: PipeReader, mut to: File) -> io::Result<()> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    to.write_all(&bytes)
}

/// Everything as it comes, with another process id.
pub fn change_pid(from: PipeReader, mut to: File) -> io::Result<()> {
    let own = format!("\"pid\":{}", std::process::id());
    BufReader::new(from).lines().try_for_each(|line| writeln!(to, "{}", line?.replace(&own, "\"pid\":1")))
}
