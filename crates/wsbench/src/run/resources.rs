//! What the machine has to have before anything is measured: open files, ports, memory and threads.

use bench_core::spec::{Load, SocketSpec, Workload};
use trial::{ThreadLimit, catalogue::Scenario};

use crate::exit::Stop;

/// Checks that the machine has what scenarios need: open files, ports and memory.
///
/// # Errors
/// When one of them needs more, with its name and both numbers.
pub fn resources(scenarios: &[Scenario], memory_bytes: u64) -> Result<(), Stop> {
    open_files(scenarios.iter().map(|scenario| (scenario.name.as_str(), scenario.connections())))?;
    let available = ports();
    for scenario in scenarios {
        let name = &scenario.name;
        let needed: u64 = scenario.loads().map(connects).sum();
        if available.is_some_and(|available| needed > available) {
            return Err(Stop::usage(format!(
                "`{name}` makes {needed} connects to one server, and there are {} ports for them \
                 (net.ipv4.ip_local_port_range); a port is used once in a trial",
                available.unwrap_or_default()
            )));
        }
        let needed: u64 = scenario.loads().map(|load| memory(load, &scenario.socket)).sum();
        if needed > memory_bytes {
            return Err(Stop::usage(format!(
                "`{name}` needs about {} MiB for its messages and buffers at both ends, and this machine has {} MiB",
                needed >> 20,
                memory_bytes >> 20
            )));
        }
    }
    Ok(())
}

/// Connects of a load, so far as they are known before it runs: where time decides it is at least one a connection.
fn connects(load: &Load) -> u64 {
    let connections = u64::from(load.all_connections());
    match (load.workload(), load.rate_per_s(), load.messages()) {
        (Workload::Connect, Some(_), _) => load.offered().max(connections),
        (Workload::Connect, None, Some(messages)) => messages.saturating_mul(connections),
        _ => connections,
    }
}

/// Memory of both ends of a load, roughly: on each connection a read buffer, the message that was read, the one that is
/// written and its copy in the write buffer.
fn memory(load: &Load, socket: &SocketSpec) -> u64 {
    let end = socket.read_buffer_bytes.saturating_add(load.payload_bytes.saturating_mul(3));
    end.saturating_mul(2).saturating_mul(load.connections.into())
}

/// Ports that connects from one address to one server may use; `None` where the system does not tell.
fn ports() -> Option<u64> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().map_while(|end| end.parse::<u64>().ok());
    let (first, last) = (ends.next()?, ends.next()?);
    Some((last + 1).saturating_sub(first))
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

/// Threads that a trial needs beside those of its connections: wsbench's own, and those of both runtimes.
const OTHER_THREADS: u64 = 64;

/// Checks that there may be as many threads as a load, given by its name and its connections, needs at its ends: rows with the
/// threads that each connection takes there.
///
/// # Errors
/// When a limit leaves fewer, with both numbers.
pub fn threads(
    name: &str,
    connections: u32,
    ends: &[(&str, u32)],
    limits: &[ThreadLimit],
) -> Result<(), Stop> {
    let each: u64 = ends.iter().map(|(_, each)| u64::from(*each)).sum();
    let Some(limit) = limits.iter().min_by_key(|limit| limit.left()).filter(|_| each > 0) else {
        return Ok(());
    };
    let (needed, left) = (u64::from(connections) * each + OTHER_THREADS, limit.left());
    if needed <= left {
        return Ok(());
    }
    let rows: Vec<&str> = ends.iter().filter(|(_, each)| *each > 0).map(|(row, _)| *row).collect();
    let ThreadLimit { name: what, most, used } = limit;
    Err(Stop::usage(format!(
        "`{name}` has {connections} connections, for which `{}` needs {needed} threads, and {left} more may be started here \
         ({what}: {most}, of which {used} are in use): use at most {} connections, leave the row out, or raise the limit",
        rows.join("` with `"),
        left.saturating_sub(OTHER_THREADS) / each
    )))
}

#[cfg(test)]
mod tests {
    use bench_core::spec::{Connect, ConnectPace, Work};

    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_both_numbers() {
        let scenario = |load: Load| Scenario::new("much", load);
        let load = Load { connections: 100, payload_bytes: 1 << 20, ..Load::default() };
        let refused = resources(&[scenario(load)], 300 << 20).unwrap_err().message;
        assert!(refused.contains("`much` needs about 603 MiB") && refused.contains("300 MiB"), "{refused}");
        let storm = Load {
            work: Work::Connect(Connect { pace: ConnectPace::Rate(1_000_000), ..Connect::default() }),
            duration_ms: 1_000,
            ..Load::default()
        };
        let beside = Scenario { beside: Some(storm), ..scenario(Load::default()) };
        if ports().is_some() {
            let refused = resources(std::slice::from_ref(&beside), u64::MAX).unwrap_err().message;
            assert!(refused.contains("makes 1000001 connects"), "{refused}");
        }
        assert!(resources(&[scenario(Load::default())], u64::MAX).is_ok());
    }

    #[test]
    fn a_row_with_a_thread_for_each_connection_needs_so_many() {
        let limit = |name, most, used| ThreadLimit { name, most, used };
        let limits = [limit("kernel.threads-max", 10_000, 500), limit("pids.max", 2_000, 936)];
        let check = |connections, ends: &[(&str, u32)]| {
            threads("many", connections, ends, &limits).map_err(|stop| stop.message)
        };
        assert_eq!(check(1_000, &[("threads", 1), ("tokio", 0)]), Ok(()));
        assert_eq!(
            check(1_001, &[("threads", 1), ("tokio", 0)]).unwrap_err(),
            "`many` has 1001 connections, for which `threads` needs 1065 threads, and 1064 more may be started here (pids.max: \
             2000, of which 936 are in use): use at most 1000 connections, leave the row out, or raise the limit"
        );
        let both = check(501, &[("threads", 1), ("threads", 1)]).unwrap_err();
        assert!(both.contains("`threads` with `threads` needs 1066 threads"), "{both}");
        assert_eq!(check(65_000, &[("tokio", 0), ("smol", 0)]), Ok(()));
        assert!(threads("many", 65_000, &[("threads", 1)], &[]).is_ok());
    }
}
