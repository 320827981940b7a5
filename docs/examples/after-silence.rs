//! async-io after a silence: a server on one thread continues at its old cost, or at a higher one, by chance.
//!
//!     cargo run --release -p runner-smol --example after-silence [SILENCE_MS [HEARTBEAT_MS]]
//!
//! 100 connections echo in lockstep, window after window, with a silence before each. Each line is one window: CPU time
//! per message of the server's process, its context switches, and how many of the calls of `epoll_wait` were those of the
//! helper thread `async-io`. With a heartbeat (a timer in the same executor) the helper never takes the reactor.
//! Needs nothing but smol and Linux. docs/FINDINGS.md says what happens and why.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use smol::io::{AsyncReadExt, AsyncWriteExt};

const CONNECTIONS: usize = 100;
const WINDOWS: usize = 20;
const WINDOW: Duration = Duration::from_millis(200);

fn main() {
    let argument =
        |place, default| std::env::args().nth(place).and_then(|text| text.parse().ok()).unwrap_or(default);
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(argument(2, 0)),
        _ => drive(argument(1, 100), argument(2, 0)),
    }
}

/// The server: one thread, one executor, as a service would have it.
fn serve(heartbeat_ms: u64) {
    // It lives as long as the process does.
    let executor: &'static smol::LocalExecutor<'static> = Box::leak(Box::new(smol::LocalExecutor::new()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("it is bound"));
    let listener = smol::Async::<TcpListener>::try_from(listener).expect("it can be polled");
    let accept = executor.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.get_ref().set_nodelay(true).ok();
            let echo = async move {
                let mut message = [0; 24];
                while stream.read_exact(&mut message).await.is_ok()
                    && stream.write_all(&message).await.is_ok()
                {}
            };
            executor.spawn(echo).detach();
        }
    });
    if heartbeat_ms > 0 {
        let heartbeat = async move {
            loop {
                smol::Timer::after(Duration::from_millis(heartbeat_ms)).await;
            }
        };
        executor.spawn(heartbeat).detach();
    }
    smol::block_on(executor.run(accept));
}

/// The client, in a process of its own, which does not use async-io.
fn drive(silence_ms: u64, heartbeat_ms: u64) {
    let own = std::env::current_exe().expect("this program's file");
    let mut server = Command::new(own)
        .args(["serve", &heartbeat_ms.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let (mut line, id) = (String::new(), server.id());
    std::io::BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut line).expect("an address");
    let connect = |_| {
        let stream = TcpStream::connect(line.trim()).expect("it accepts");
        stream.set_nodelay(true).expect("a TCP option");
        stream
    };
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    println!("{silence_ms} ms of silence before each window, heartbeat {heartbeat_ms} ms");
    println!("µs per message   switches per message: main  async-io");
    for _ in 0..WINDOWS {
        std::thread::sleep(Duration::from_millis(silence_ms));
        let (before, start, mut messages) = (used(id), Instant::now(), 0);
        streams.iter_mut().for_each(|stream| stream.write_all(&[7; 24]).expect("it reads"));
        while start.elapsed() < WINDOW {
            for stream in &mut streams {
                stream.read_exact(&mut [0; 24]).expect("it echoes");
                stream.write_all(&[7; 24]).expect("it reads");
            }
            messages += CONNECTIONS as u64;
        }
        streams.iter_mut().for_each(|stream| stream.read_exact(&mut [0; 24]).expect("it echoes"));
        let after = used(id);
        let per = |place: usize| (after[place] - before[place]) as f64 / messages as f64;
        println!("{:14.2}   {:26.3}  {:8.3}", per(0) / 1e3, per(1), per(2));
    }
    server.kill().and_then(|()| server.wait()).expect("it ends");
}

/// CPU time in nanoseconds of all threads of a process, and the context switches of its main thread and of `async-io`.
fn used(id: u32) -> [u64; 3] {
    let mut sum = [0; 3];
    for task in std::fs::read_dir(format!("/proc/{id}/task")).expect("it lives").flatten() {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let number =
            |text: &str| text.split_whitespace().next_back().and_then(|word| word.parse().ok()).unwrap_or(0);
        sum[0] += read("schedstat").split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let place = if read("comm").trim() == "async-io" { 2 } else { 1 };
        sum[place] +=
            read("status").lines().filter(|line| line.contains("ctxt_switches")).map(number).sum::<u64>();
    }
    sum
}
