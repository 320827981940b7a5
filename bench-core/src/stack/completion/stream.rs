//! Streams that take their buffers by value.

use std::{future::Future, io};

/// A stream whose operations own their buffers while they run, and give them back.
pub trait OwnedStream {
    /// Reads what is there into `buffer`, from its beginning and up to its capacity. 0 bytes are the end of the stream.
    fn read(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<usize>, Vec<u8>)>;

    /// Writes all of `buffer`.
    fn write_all(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<()>, Vec<u8>)>;
}
