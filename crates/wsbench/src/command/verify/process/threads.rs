//! How many threads of a server work.

use std::{
    collections::BTreeMap,
    fs, io,
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use tungstenite::{Message, WebSocket};

use super::super::{
    fault::{Fault, fault},
    findings::{Seen, deadline},
    messages,
    running::Running,
};

/// Connections of the load: enough that a second worker finds work.
const CONNECTIONS: usize = 8;

/// What a server does only at first is not looked at, such as the compilation of its hot code.
const WARM_UP: Duration = Duration::from_millis(200);

/// How long threads are looked at: some ten of the kernel's ticks, by which it counts.
const WINDOW: Duration = Duration::from_millis(300);

/// How often threads are looked at as long as a second one works. On a busy machine a compiler in the background (Node.js) may
/// still be at it the first time; it comes to an end, and a second worker does not.
const WINDOWS: usize = 4;

/// Less than this says nothing about who works, in nanoseconds.
const LEAST_CPU_NS: u64 = 20_000_000;

/// In percent of what all threads of a process use, what a thread uses that works. Of the rows of one thread, helpers took
/// at most 0.3 % where there is an I/O thread (smol, async-std) and 0.9 % under a garbage collector (Node.js); of two
/// workers the idler one took 48 %. The limit is far from both.
const WORKS_PERCENT: u64 = 10;

/// A row of one thread leaves the work to one thread. Otherwise it has two cores where other rows have one.
///
/// A row with a thread for each connection has as many that work as it has connections, one at a time where it is
/// measured, on one core. Such a one is known by the threads that connections bring, and asked with one connection.
pub(super) fn one_works(server: &Running) -> Result<Seen, Fault> {
    let idle = match cpu_ns(server.id()) {
        Ok(idle) => idle,
        Err(error) => {
            return Ok(Seen::Unseen(format!("the system does not show its threads: {error}")));
        }
    };
    let mut sockets = (0..CONNECTIONS)
        .map(|_| messages::connect(server.addr(), "/echo", deadline()))
        .collect::<Result<Vec<_>, _>>()?;
    // By their numbers: the thread of an earlier connection may still be about to end.
    let brought = cpu_ns(server.id()).map_err(gone)?.into_keys().filter(|thread| !idle.contains_key(thread));
    if brought.count() >= CONNECTIONS {
        sockets.drain(1..).for_each(|mut socket| messages::close_politely(&mut socket));
    }
    let connections = sockets.len();
    let used = under_load(server.id(), &mut sockets)?;
    sockets.iter_mut().for_each(messages::close_politely);
    let all: u64 = used.iter().sum();
    if all < LEAST_CPU_NS {
        return Ok(Seen::Unseen(format!("the server used only {} µs of CPU time", all / 1_000)));
    }
    let working = working(&used);
    if working.len() < 2 {
        return Ok(Seen::Sound);
    }
    let shares: Vec<String> = working.iter().map(|share| format!("{share} %")).collect();
    Err(fault!(
        "`max_threads` is 1, and with {connections} connections {} threads work ({} of the CPU time)",
        working.len(),
        shares.join(" and ")
    ))
}

/// What each thread of the server uses while every connection echoes one message after the other.
fn under_load(process: u32, sockets: &mut [WebSocket<TcpStream>]) -> Result<Vec<u64>, Fault> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let echoing: Vec<_> =
            sockets.iter_mut().map(|socket| scope.spawn(|| echo_until(&over, socket))).collect();
        thread::sleep(WARM_UP);
        let mut used = used_meanwhile(process);
        for _ in 1..WINDOWS {
            if used.as_ref().is_ok_and(|used| working(used).len() > 1) {
                used = used_meanwhile(process);
            }
        }
        over.store(true, Relaxed);
        for echoing in echoing {
            echoing.join().unwrap_or_else(|_| Err(fault!("the verifying client panicked")))?;
        }
        used.map_err(gone)
    })
}

/// What each thread uses in one window.
fn used_meanwhile(process: u32) -> io::Result<Vec<u64>> {
    let before = cpu_ns(process)?;
    thread::sleep(WINDOW);
    let grown = |(thread, ns): (String, u64)| ns.saturating_sub(before.get(&thread).copied().unwrap_or(0));
    Ok(cpu_ns(process)?.into_iter().map(grown).collect())
}

/// The shares of those that work, in percent.
fn working(used: &[u64]) -> Vec<u64> {
    let all = used.iter().sum::<u64>().max(1);
    used.iter().map(|ns| ns * 100 / all).filter(|share| *share >= WORKS_PERCENT).collect()
}

fn echo_until(over: &AtomicBool, socket: &mut WebSocket<TcpStream>) -> Result<(), Fault> {
    while !over.load(Relaxed) {
        messages::exchange(socket, Message::text("who carries this message"))?;
    }
    Ok(())
}

/// CPU time of each thread of a process, by its number, in nanoseconds.
fn cpu_ns(process: u32) -> io::Result<BTreeMap<String, u64>> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))?.flatten() {
        let text = match fs::read_to_string(task.path().join("schedstat")) {
            Ok(text) => text,
            // A thread that has ended since works no more.
            Err(_) if !task.path().exists() => continue,
            Err(error) => return Err(error),
        };
        let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        threads.insert(task.file_name().to_string_lossy().into_owned(), ns);
    }
    Ok(threads)
}

fn gone(error: io::Error) -> Fault {
    fault!("the server's threads cannot be read any more: {error}")
}
