//! `selftest`: the instrument, tried on servers whose behaviour is known.
//!
//! Each check runs the whole chain, processes and all, and fails when what is known is not seen.

use std::path::PathBuf;

use bench_core::row::BuildInfo;
use clap::{Args, builder::PossibleValuesParser};
use comfy_table::{Table, presets};

use crate::{
    exit::{OK, Stop, VERIFICATION},
    output::print::print,
    run::lock::{Lock, LockArguments},
};

mod bench;
mod check;
mod closed_loop;
mod counts;
mod latency;
mod paced_cost;
mod rows;
mod saturated;
mod verdicts;

use bench::Bench;
use check::Check;

/// Flags of `selftest`.
#[derive(Args, Clone, Debug)]
pub struct SelftestArguments {
    /// Two seconds where ten would do, for a quick look
    #[arg(long)]
    short: bool,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
    #[command(flatten)]
    lock: LockArguments,
    /// A fault in the selftest itself, which has to make it fail: what its own test asks for
    #[arg(long, hide = true, value_name = "FAULT", value_parser = PossibleValuesParser::new(faults()))]
    fault: Option<String>,
}

/// Checks that belong together, because they look at the same trials.
struct Checks {
    run: fn(&mut Bench) -> Vec<Check>,
    /// The faults that act on them.
    faults: &'static [&'static str],
}

const ALL: &[Checks] = &[
    Checks { run: latency::stall, faults: &[latency::NO_STALL, latency::UNCORRECTED] },
    Checks { run: latency::late_answers, faults: &[] },
    Checks { run: latency::late_client, faults: &[] },
    Checks { run: counts::dropped, faults: &[] },
    Checks { run: counts::miscounted, faults: &[counts::COUNT_IGNORED] },
    Checks { run: paced_cost::burn, faults: &[] },
    Checks { run: closed_loop::small_cost, faults: &[closed_loop::NO_BURN] },
    Checks { run: saturated::blind_control, faults: &[saturated::MARK_IGNORED] },
];

fn faults() -> Vec<&'static str> {
    ALL.iter().flat_map(|checks| checks.faults).copied().collect()
}

/// Runs all checks, prints what was expected and what was seen, and returns the exit code.
///
/// # Errors
/// When the programs are not there, or server and client cannot have a core each.
pub fn selftest(arguments: &SelftestArguments, build: BuildInfo) -> Result<u8, Stop> {
    let SelftestArguments { short, runner_dir, lock, fault } = arguments;
    let mut bench = Bench::new(runner_dir.clone(), *short, fault.clone(), build)?;
    let _lock = Lock::take(lock)?;
    // Under a fault, only what it acts on.
    let is_due =
        |checks: &&Checks| fault.as_ref().is_none_or(|fault| checks.faults.contains(&fault.as_str()));
    let due: Vec<&Checks> = ALL.iter().filter(is_due).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["", "check", "expected", "seen"]);
    let mut failed = Vec::new();
    for (place, checks) in due.iter().enumerate() {
        eprintln!("check {} of {} …", place + 1, due.len());
        for check in (checks.run)(&mut bench) {
            check.add_to(&mut table);
            if !check.holds() {
                failed.push(check.name());
            }
        }
    }
    print(&format!("{}\n", table.trim_fmt()));
    if failed.is_empty() {
        return Ok(OK);
    }
    eprintln!("error: the selftest failed: {}", failed.join(", "));
    Ok(VERIFICATION)
}
