//! A non-blocking stream that knows, most of the time, what the kernel would say.

use std::io::{self, Read, Write};

/// Most reads in one turn of a connection, so that a peer that never stops sending does not starve the others: 32 read
/// buffers of 16 KiB are half a megabyte.
const READS_PER_TURN: u32 = 32;

/// A stream that is registered once, edge-triggered.
///
/// It answers `WouldBlock` by itself where the kernel would: after a read that did not fill its buffer the kernel has no
/// more, and says so with the next event. That saves the second read of every message.
#[derive(Debug)]
pub struct EdgeStream<S> {
    inner: S,
    readable: bool,
    writable: bool,
    /// The peer has finished or the connection failed: no further event announces the end of the stream.
    ending: bool,
    reads_left: u32,
}

/// What an event says about a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// A read may give bytes.
    pub readable: bool,
    /// A write may take bytes.
    pub writable: bool,
    /// The peer has finished, or the connection failed.
    pub ending: bool,
}

impl<S> EdgeStream<S> {
    /// Around a stream that was just accepted: it has room to write, and its first event says what there is to read.
    pub fn new(inner: S) -> EdgeStream<S> {
        EdgeStream { inner, readable: false, writable: true, ending: false, reads_left: READS_PER_TURN }
    }

    /// Takes note of an event.
    pub fn note(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable || readiness.ending;
        self.writable |= readiness.writable || readiness.ending;
        self.ending |= readiness.ending;
    }

    /// Allows the reads of another turn.
    pub fn begin_turn(&mut self) {
        self.reads_left = READS_PER_TURN;
    }

    /// Whether the turn ended only because it was long: no event will announce what is left to read.
    pub fn cut_short(&self) -> bool {
        self.readable && self.reads_left == 0
    }
}

impl<S: Read> Read for EdgeStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.readable || self.reads_left == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.reads_left -= 1;
        let result = self.inner.read(buffer);
        match &result {
            Ok(read) if *read < buffer.len() => self.readable = self.ending,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            _ => {}
        }
        result
    }
}

impl<S: Write> Write for EdgeStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.writable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = self.inner.write(bytes);
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.writable = false;
        }
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives and takes so many bytes before it would block, and counts the calls.
    #[derive(Default)]
    struct Kernel {
        to_read: usize,
        room: usize,
        calls: u32,
    }

    impl Kernel {
        fn pass(left: &mut usize, wanted: usize) -> io::Result<usize> {
            let passed = wanted.min(*left);
            *left -= passed;
            if passed == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(passed) }
        }
    }

    impl Read for Kernel {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.calls += 1;
            Kernel::pass(&mut self.to_read, buffer.len())
        }
    }

    impl Write for Kernel {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            Kernel::pass(&mut self.room, bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const READABLE: Readiness = Readiness { readable: true, writable: false, ending: false };

    fn blocked(result: io::Result<usize>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    #[test]
    fn a_short_read_saves_the_next_one() {
        let mut stream = EdgeStream::new(Kernel { to_read: 24, ..Kernel::default() });
        assert!(blocked(stream.read(&mut [0; 100])));
        stream.note(READABLE);
        assert_eq!(stream.read(&mut [0; 100]).unwrap(), 24);
        assert!(blocked(stream.read(&mut [0; 100])));
        assert_eq!(stream.inner.calls, 1);
    }

    #[test]
    fn a_full_read_is_followed_by_another() {
        let mut stream = EdgeStream::new(Kernel { to_read: 100, ..Kernel::default() });
        stream.note(READABLE);
        assert_eq!(stream.read(&mut [0; 100]).unwrap(), 100);
        assert!(blocked(stream.read(&mut [0; 100])));
        assert!(blocked(stream.read(&mut [0; 100])));
        assert_eq!(stream.inner.calls, 2);
    }

    #[test]
    fn what_came_with_the_end_of_the_stream_does_not_hide_it() {
        let mut stream = EdgeStream::new(Kernel { to_read: 24, ..Kernel::default() });
        stream.note(Readiness { ending: true, ..READABLE });
        assert_eq!(stream.read(&mut [0; 100]).unwrap(), 24);
        let _ = stream.read(&mut [0; 100]);
        assert_eq!(stream.inner.calls, 2);
    }

    #[test]
    fn a_long_turn_is_cut_short() {
        let mut stream = EdgeStream::new(Kernel { to_read: 1_000, ..Kernel::default() });
        stream.note(READABLE);
        for _ in 0..READS_PER_TURN {
            assert_eq!(stream.read(&mut [0]).unwrap(), 1);
        }
        assert!(blocked(stream.read(&mut [0])) && stream.cut_short());
        stream.begin_turn();
        assert_eq!(stream.read(&mut [0]).unwrap(), 1);
    }

    #[test]
    fn a_full_socket_is_left_alone_until_it_has_room() {
        let mut stream = EdgeStream::new(Kernel { room: 10, ..Kernel::default() });
        assert_eq!(stream.write(&[0; 30]).unwrap(), 10);
        assert!(blocked(stream.write(&[0; 20])));
        assert!(blocked(stream.write(&[0; 20])));
        assert_eq!(stream.inner.calls, 2);
        stream.inner.room = 50;
        stream.note(Readiness { writable: true, ..Readiness::default() });
        assert_eq!(stream.write(&[0; 20]).unwrap(), 20);
    }
}
