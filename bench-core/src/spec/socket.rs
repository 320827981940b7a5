//! Settings of a connection.

use std::{ffi::OsString, time::Duration};

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{parse_bytes, parse_millis};

use super::{
    error::SpecError,
    flags::{flag_value, flags, in_range},
    limits::{MAX_DURATION_MS, MAX_IDLE_MS},
};

/// When messages that were fed are written to the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flush {
    /// Before the next read, once no complete message is left in user space.
    #[default]
    BeforeWait,
    /// After every message.
    Each,
}

impl Flush {
    /// The name as on the command line.
    pub fn name(self) -> String {
        flag_value(self)
    }
}

/// Settings of a WebSocket connection, the same at both ends.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SocketSpec {
    /// Read buffer of a connection. tungstenite fills it with zeros before every read, so its size is part of what is
    /// measured
    #[arg(long = "read-buffer", value_name = "BYTES", value_parser = parse_bytes, default_value = "16KiB")]
    pub read_buffer_bytes: u64,
    /// Write buffer of a connection: messages beyond it are written out before the flush policy asks for it
    #[arg(long = "write-buffer", value_name = "BYTES", value_parser = parse_bytes, default_value = "128KiB")]
    pub write_buffer_bytes: u64,
    /// Largest message that an end accepts
    #[arg(long = "max-message", value_name = "BYTES", value_parser = parse_bytes, default_value = "16MiB")]
    pub max_message_bytes: u64,
    /// Largest frame that an end accepts
    #[arg(long = "max-frame", value_name = "BYTES", value_parser = parse_bytes, default_value = "16MiB")]
    pub max_frame_bytes: u64,
    /// When messages are written to the connection
    #[arg(long, value_enum, default_value_t)]
    pub flush: Flush,
    /// Longest time for an opening handshake
    #[arg(long = "handshake-timeout", value_name = "TIME", value_parser = parse_millis, default_value = "10s")]
    pub handshake_timeout_ms: u64,
    /// A server ends a connection on which nothing was read or written for this long; what a peer does not read counts
    /// as not written. It may take a quarter longer, because connections are looked at now and then
    #[arg(long = "idle-timeout", value_name = "TIME", value_parser = parse_millis, default_value = "5m")]
    pub idle_timeout_ms: u64,
    /// Longest time for a closing handshake that this end has begun
    #[arg(long = "close-timeout", value_name = "TIME", value_parser = parse_millis, default_value = "10s")]
    pub close_timeout_ms: u64,
    /// Send buffer of the server's sockets in the kernel; the kernel's own sizes when not given
    #[arg(long = "send-buffer", value_name = "BYTES", value_parser = parse_bytes)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer_bytes: Option<u64>,
    /// Under TLS, without resumed sessions. Trials have 1.3 with TLS13_AES_128_GCM_SHA256 and X25519
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
}

impl Default for SocketSpec {
    fn default() -> SocketSpec {
        SocketSpec {
            read_buffer_bytes: 16 * 1024,
            write_buffer_bytes: 128 * 1024,
            max_message_bytes: 16 * 1024 * 1024,
            max_frame_bytes: 16 * 1024 * 1024,
            flush: Flush::BeforeWait,
            handshake_timeout_ms: 10_000,
            // Longer than the pings of any usual client are apart, and than any scenario keeps still.
            idle_timeout_ms: 300_000,
            close_timeout_ms: 10_000,
            send_buffer_bytes: None,
            tls: false,
        }
    }
}

impl SocketSpec {
    /// Longest time for an opening handshake.
    pub fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    /// Time after which a server ends a connection on which nothing happens.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// Longest time for a closing handshake that this end has begun.
    pub fn close_timeout(&self) -> Duration {
        Duration::from_millis(self.close_timeout_ms)
    }

    pub(super) fn to_args(&self) -> Vec<OsString> {
        let mut args = flags(&[
            ("read-buffer", self.read_buffer_bytes.to_string()),
            ("write-buffer", self.write_buffer_bytes.to_string()),
            ("max-message", self.max_message_bytes.to_string()),
            ("max-frame", self.max_frame_bytes.to_string()),
            ("flush", flag_value(self.flush)),
            ("handshake-timeout", format!("{}ms", self.handshake_timeout_ms)),
            ("idle-timeout", format!("{}ms", self.idle_timeout_ms)),
            ("close-timeout", format!("{}ms", self.close_timeout_ms)),
        ]);
        if let Some(bytes) = self.send_buffer_bytes {
            args.extend(flags(&[("send-buffer", bytes.to_string())]));
        }
        if self.tls {
            args.push("--tls".into());
        }
        args
    }

    pub(super) fn validate(&self) -> Result<(), SpecError> {
        in_range("read buffer", self.read_buffer_bytes, 64, 64 << 20, " B")?;
        in_range("write buffer", self.write_buffer_bytes, 64, 64 << 20, " B")?;
        in_range("largest message", self.max_message_bytes, 64, 1 << 30, " B")?;
        in_range("largest frame", self.max_frame_bytes, 64, 1 << 30, " B")?;
        if let Some(bytes) = self.send_buffer_bytes {
            in_range("send buffer", bytes, 4 << 10, 64 << 20, " B")?;
        }
        in_range("handshake timeout", self.handshake_timeout_ms, 1, MAX_DURATION_MS, " ms")?;
        in_range("idle timeout", self.idle_timeout_ms, 1, MAX_IDLE_MS, " ms")?;
        in_range("close timeout", self.close_timeout_ms, 1, MAX_DURATION_MS, " ms")
    }
}
