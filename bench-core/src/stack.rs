//! WebSocket stacks, ready for a runtime to use: tungstenite over streams of several kinds, with the same buffers, limits
//! and flush policy.

pub mod completion;
pub mod tls;
pub mod transport;
pub mod websocket;
pub mod write_behind;
