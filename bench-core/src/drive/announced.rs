//! Connections that open, and what is said meanwhile to whoever controls the client.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt};

use super::connection::Connection;
use crate::{
    Timer,
    protocol::{Connecting, Control},
};

/// Time between two announcements: for a person who watches.
const EVERY: Duration = Duration::from_secs(1);

/// Collects connections as they come, in whatever order, and announces how far they are: once a second where that has changed,
/// and at the end. `None` is a connection whose task panicked.
///
/// # Errors
/// When stdout is closed.
pub(super) async fn announced<S, T: Timer>(
    opening: impl Stream<Item = Option<Connection<S>>>,
    timer: &T,
    control: &Control,
) -> anyhow::Result<Vec<Option<Connection<S>>>> {
    let mut opening = pin!(opening);
    let mut opened = Vec::new();
    let (mut so_far, mut said) = (Connecting::default(), Connecting::default());
    let mut due = Instant::now() + EVERY;
    loop {
        let next = async { Some(opening.next().await) };
        let nothing_new = async {
            timer.sleep_until(due).await;
            None
        };
        match futures_lite::future::or(next, nothing_new).await {
            Some(None) => break,
            Some(Some(connection)) => {
                count(&mut so_far, connection.as_ref());
                opened.push(connection);
            }
            None => {}
        }
        if Instant::now() >= due {
            if so_far != said {
                control.connecting(so_far)?;
                said = so_far;
            }
            due = Instant::now() + EVERY;
        }
    }
    control.connecting(so_far)?;
    Ok(opened)
}

fn count<S>(so_far: &mut Connecting, connection: Option<&Connection<S>>) {
    match connection {
        Some(connection) if connection.socket.is_some() => so_far.open += 1,
        // It was interrupted while it opened.
        Some(connection) if connection.error.is_none() => {}
        _ => so_far.failed += 1,
    }
}
