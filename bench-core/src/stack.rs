//! WebSocket stacks, ready for a runtime to use: tungstenite over streams of several kinds, with the same buffers, limits
//! and flush policy.

pub mod blocking;
pub mod completion;
pub mod tls;
pub mod transport;
pub mod upgrade;
pub mod websocket;
pub mod write_behind;
