//! What the machine has to have before anything is measured: open files, ports and memory.

use bench_core::spec::{Load, SocketSpec, Workload};
use trial::catalogue::Scenario;

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
}
