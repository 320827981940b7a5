//! The server's half of a trial: listen, accept, serve, stop. The accept loop is the same one in every row.

use std::{io, time::Instant};

use futures::future::Either;
use futures_lite::future;

use crate::{
    Network, Runtime, ServeSpec, ServerContext, net,
    protocol::{Ready, ServerReport},
    runtime::ServerTask,
};

mod task;

pub use task::{Accepted, Acceptor, Task};

/// Serves on `runtime` until whoever started the process ends its stdin.
///
/// # Errors
/// When the address cannot be listened on, stdout is closed, or the accept loop cannot be started.
pub async fn serve<R: Runtime>(runtime: R, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
    let listener = net::listen(spec)?;
    let addr = listener.local_addr()?;
    let listener = R::Net::listen(listener)?;
    let stop = ready.listening(addr)?;
    let context = ServerContext::new(spec);
    let acceptor =
        Acceptor { runtime: runtime.clone(), listener, context: context.clone(), stop: stop.clone() };
    runtime.spawn_detached(ServerTask::<R>::Accept(acceptor))?;
    stop.await;
    Ok(context.finish(&runtime).await)
}

impl<R: Runtime> Task<R::Net, R> {
    /// Runs the task to its end.
    pub fn run(self) -> impl Future<Output = ()> {
        match self {
            // In a box, so that a connection's task has not the size of the accept loop.
            Task::Accept(acceptor) => Either::Left(Box::pin(acceptor.run())),
            Task::Serve(accepted) => Either::Right(accepted.run()),
        }
    }
}

impl<R: Runtime> Acceptor<R::Net, R> {
    /// Accepts connections and spawns a task for each, until the server is told to stop.
    ///
    /// No error of one accept ends a server: it is counted, and the loop waits a little where that helps.
    async fn run(self) {
        let accepting = async {
            loop {
                if let Err(error) = self.accept().await {
                    self.context.accept_failed();
                    if let Some(pause) = net::accept_back_off(&error) {
                        self.runtime.sleep_until(Instant::now() + pause).await;
                    }
                }
            }
        };
        // An accept that blocks its thread never sees the stop. Its thread ends with the process.
        future::or(self.stop.clone(), accepting).await;
    }

    /// A connection that cannot be set up or spawned is a failed accept: it is gone.
    async fn accept(&self) -> io::Result<()> {
        let stream = R::Net::accept(&self.listener).await?;
        R::Net::set_nodelay(&stream)?;
        let accepted = Accepted { stream, timer: self.runtime.clone(), context: self.context.clone() };
        self.runtime.spawn_detached(ServerTask::<R>::Serve(accepted))
    }
}
