//! The test traits that a runtime implements, and what every runtime is tested with.
//!
//! A *row* is one runtime configuration that can be measured. This crate holds, once for all rows, the workloads (what a
//! client does), the services (what a server does), the accounting that proves nothing was lost, and the runner protocol.
//! It depends on no async runtime: a runner adds only how its runtime starts, listens, accepts, connects, spawns and
//! sleeps. Launching runners and evaluating what they report is the crate `trial`; their command line is `runner-cli`.
//!
//! The cut between the two is the message, not the byte. What a runtime implements:
//!
//! | trait | what it is |
//! |---|---|
//! | [`Runtime`] | how it spawns tasks, and its [`Timer`] |
//! | [`Network`] | how it listens, accepts and connects, and the WebSocket stack on top |
//! | [`Socket`] | one WebSocket connection: whole messages in and out; [`stack::websocket`] and [`stack::completion`] have it ready |
//! | [`Row`] | a row of the table: describes itself, and starts the runtime with [`serve()`] or [`drive()`] |
//!
//! Where to look for the rest:
//!
//! | subject | modules |
//! |---|---|
//! | the server's half | [`serve`](mod@serve) accepts, [`service`] answers |
//! | the client's half | [`drive`](mod@drive) goes through the phases of a trial, [`workload`] is what a connection does, [`pacer`] waits for instants |
//! | WebSocket stacks | [`stack`]: tungstenite over streams of several kinds, plain and under TLS; [`net`] makes the listeners |
//! | what both ends agree on | [`spec`], [`protocol`], [`payload`], [`tally`] |
//! | for tests | [`testkit`]: connections in memory |

pub mod drive;
mod interrupt;
pub mod net;
pub mod network;
pub mod pacer;
pub mod panics;
pub mod payload;
pub mod protocol;
pub mod row;
pub mod runtime;
pub mod serve;
pub mod service;
pub mod socket;
pub mod spec;
pub mod stack;
pub mod tally;
pub mod testkit;
pub mod timer;
pub mod workload;

pub use drive::drive;
pub use network::Network;
pub use row::{Row, RowInfo, Rows};
pub use runtime::{ClientConnection, ClientTask, Runtime, ServerTask};
pub use serve::serve;
pub use service::{ConnectionTally, ServerContext, serve_connection};
pub use socket::{Kind, Message, Socket, SocketError, SocketResult};
pub use spec::{DriveSpec, ServeSpec};
pub use timer::Timer;
