//! Checks of a server from outside: what its process is to the kernel, and not what it answers. Each could be wrong without
//! any wrong answer, and would be measured as if it were the runtime.

use trial::Program;

use super::{findings::Findings, running::Running};

mod queue;
mod sockets;
mod threads;

/// Adds what is wrong with a server's process. It is one of its own, so that nothing here is counted elsewhere.
pub(super) fn checks(program: &Program, findings: &mut Findings) {
    let mut server = match Running::start(program) {
        Ok(server) => server,
        Err(reason) => return findings.add("a second start", Err(reason)),
    };
    let before = findings.faults.len();
    findings.add_if_seen("TCP_NODELAY", sockets::no_delay(&server));
    if program.info.max_threads == 1 {
        findings.add_if_seen("one thread", threads::one_works(&server));
    }
    findings.add_if_seen("accept queue", queue::is_long(&server));
    let stopped = server.stop();
    let stops = stopped.is_ok();
    findings.add("end after a burst of connections", stopped.map(drop));
    if stops && findings.faults.len() > before {
        findings.note_stderr("server", &server.said());
    }
}
