//! The flush policy, below the WebSocket protocol and hence the same for every stack.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::io::{AsyncRead, AsyncWrite};

use crate::spec::SocketSpec;

/// A stream that holds what is written, and writes it out before it reads, when it is flushed, or when its buffer is
/// full.
///
/// It is as asynchronous as what it wraps: a stream of futures-io, a blocking one, or a non-blocking one of std's
/// traits, where a write that cannot go on ends with [`io::ErrorKind::WouldBlock`] and nothing is read before all that
/// is held has left.
#[derive(Debug)]
pub struct WriteBehind<S> {
    inner: S,
    held: Held,
}

impl<S> WriteBehind<S> {
    /// Around `inner`, with the write buffer of `spec`.
    pub fn new(inner: S, spec: &SocketSpec) -> WriteBehind<S> {
        WriteBehind { inner, held: Held::new(spec) }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The stream below, to change it; what is held stays held.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }
}

/// What is held back, and the rules by which it leaves. It touches no stream: the caller brings the write, which fails
/// with [`io::ErrorKind::WouldBlock`] where it cannot go on.
#[derive(Debug)]
pub struct Held {
    bytes: Vec<u8>,
    /// How much of `bytes` has been written.
    written: usize,
    limit: usize,
}

impl Held {
    /// Nothing yet, with the write buffer of `spec`.
    pub fn new(spec: &SocketSpec) -> Held {
        Held { bytes: Vec::new(), written: 0, limit: spec.write_buffer_bytes as usize }
    }

    /// What is held, to add to it whatever the limit.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes everything out; after an error, the next call continues where this one ended.
    ///
    /// # Errors
    /// What `write` fails with.
    pub fn write_out(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        while self.written < self.bytes.len() {
            match write(&self.bytes[self.written..])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.written += written,
            }
        }
        self.bytes.clear();
        self.written = 0;
        Ok(())
    }

    /// Takes `bytes`, or writes out what is held where they would not fit beside it.
    ///
    /// # Errors
    /// What `write` fails with.
    pub fn write(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.write_out(&mut write)?;
            if bytes.len() >= self.limit {
                // Copying what fills the buffer by itself would only cost time.
                return write(bytes);
            }
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl<S: Read + Write> Read for WriteBehind<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.held.write_out(|bytes| self.inner.write(bytes))?;
        self.inner.read(buffer)
    }
}

impl<S: Write> Write for WriteBehind<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.write(bytes, |bytes| self.inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.held.write_out(|bytes| self.inner.write(bytes))?;
        self.inner.flush()
    }
}

/// One attempt at a write: an error of the kind `WouldBlock` stands for [`Poll::Pending`], which futures-io streams
/// never return as an error of their own.
fn attempt<S: AsyncWrite + Unpin>(inner: &mut S, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
    match Pin::new(inner).poll_write(cx, bytes) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// An attempt's result as a poll's: `WouldBlock` stands for [`Poll::Pending`].
pub fn polled<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl<S: AsyncWrite + Unpin> WriteBehind<S> {
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        polled(self.held.write_out(|bytes| attempt(&mut self.inner, cx, bytes)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WriteBehind<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteBehind<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let WriteBehind { inner, held } = &mut *self;
        polled(held.write(bytes, |bytes| attempt(inner, cx, bytes)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::{AsyncReadExt, AsyncWriteExt, future::block_on};

    use super::*;

    /// Remembers every write, takes as much of it as there is room for, and then would block; reads one byte.
    struct Log {
        writes: Vec<usize>,
        room: usize,
        reads: usize,
    }

    impl Read for Log {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            Ok(1)
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= taken;
            self.writes.push(taken);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl AsyncRead for Log {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, b: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Read::read(&mut *self, b))
        }
    }

    impl AsyncWrite for Log {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
            polled(Write::write(&mut *self, b))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn held_by(limit: u64) -> WriteBehind<Log> {
        let spec = SocketSpec { write_buffer_bytes: limit, ..SocketSpec::default() };
        WriteBehind::new(Log { writes: Vec::new(), room: usize::MAX, reads: 0 }, &spec)
    }

    #[test]
    fn what_is_held_goes_out_in_one_write_before_a_read() {
        let mut stream = held_by(100);
        block_on(async {
            AsyncWriteExt::write_all(&mut stream, &[0; 30]).await.unwrap();
            AsyncWriteExt::write_all(&mut stream, &[0; 30]).await.unwrap();
            assert!(stream.inner.writes.is_empty());
            AsyncReadExt::read_exact(&mut stream, &mut [0]).await.unwrap();
            AsyncReadExt::read_exact(&mut stream, &mut [0]).await.unwrap();
        });
        assert_eq!(stream.inner.writes, [60]);

        let mut stream = held_by(100);
        Write::write_all(&mut stream, &[0; 30]).unwrap();
        Write::write_all(&mut stream, &[0; 30]).unwrap();
        assert!(stream.inner.writes.is_empty());
        Read::read_exact(&mut stream, &mut [0, 0]).unwrap();
        assert_eq!(stream.inner.writes, [60]);
    }

    #[test]
    fn a_full_buffer_and_a_flush_write_out() {
        let sizes = [70, 70, 200, 5];
        let mut stream = held_by(100);
        block_on(async {
            for size in sizes {
                AsyncWriteExt::write_all(&mut stream, &vec![0; size]).await.unwrap();
            }
            AsyncWriteExt::flush(&mut stream).await.unwrap();
        });
        assert_eq!(stream.inner.writes, sizes);

        let mut stream = held_by(100);
        for size in sizes {
            Write::write_all(&mut stream, &vec![0; size]).unwrap();
        }
        Write::flush(&mut stream).unwrap();
        assert_eq!(stream.inner.writes, sizes);
    }

    #[test]
    fn a_blocked_output_blocks_the_input_and_goes_on_where_it_stopped() {
        let mut stream = held_by(100);
        stream.inner.room = 40;
        Write::write_all(&mut stream, &[0; 60]).unwrap();
        let blocked = |result: io::Result<usize>| result.unwrap_err().kind() == io::ErrorKind::WouldBlock;
        assert!(blocked(Read::read(&mut stream, &mut [0])));
        assert!(blocked(Write::write(&mut stream, &[0; 60])));
        assert_eq!((stream.inner.writes.as_slice(), stream.inner.reads), (&[40][..], 0));

        stream.inner.room = usize::MAX;
        assert_eq!(Read::read(&mut stream, &mut [0]).unwrap(), 1);
        assert_eq!(stream.inner.writes, [40, 20]);
    }
}
