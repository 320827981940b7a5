//! What has to hold before anything is measured, and what the machine means for the results.

use bench_core::{machine::findings, runner::BuildInfo};
use comfy_table::{Table, presets};

use crate::exit::Stop;

/// What `wsbench check` prints: everything that was looked at, and what it means.
pub fn report(build: &BuildInfo) -> String {
    let findings = findings(build);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for finding in &findings {
        let sign = if finding.warning.is_some() { "!" } else { "ok" };
        table.add_row([sign, &finding.what, &finding.value]);
    }
    let warnings: Vec<String> = findings
        .iter()
        .filter_map(|finding| Some(format!("! {}: {}", finding.what, finding.warning.as_ref()?)))
        .collect();
    let end = match warnings.len() {
        0 => "nothing speaks against measuring here".to_owned(),
        _ => warnings.join("\n"),
    };
    format!("{}\n\n{end}\n", table.trim_fmt())
}

/// File descriptors that a process needs beside its connections: pipes, the listener, the runtime's own.
#[cfg(unix)]
const OTHER_DESCRIPTORS: u64 = 64;

/// Raises this process's limit of open files to what it may have and checks that every load, given by its name and its
/// connections, fits; children inherit
/// it.
///
/// # Errors
/// When a load has more connections than there may be open files, with both numbers.
#[cfg(unix)]
pub fn open_files<'a>(loads: impl IntoIterator<Item = (&'a str, u32)>) -> Result<(), Stop> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    // Where raising is refused, the limit as it is counts.
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    for (name, connections) in loads {
        let needed = u64::from(connections) + OTHER_DESCRIPTORS;
        if needed > limit {
            return Err(Stop::usage(format!(
                "`{name}` has {connections} connections and needs {needed} open files, and this process may have {limit}: 1 to {} \
                 connections are possible, or raise the limit (ulimit -n)",
                limit.saturating_sub(OTHER_DESCRIPTORS)
            )));
        }
    }
    Ok(())
}

/// Not limited in this way on this system.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn open_files<'a>(_loads: impl IntoIterator<Item = (&'a str, u32)>) -> Result<(), Stop> {
    Ok(())
}
