//! Sees whether a file ends where a row ends: the CSV parser takes any end for one.

use std::io::{self, Read};

/// Passes bytes on and remembers how they ended.
#[derive(Debug)]
pub(super) struct Watch<R> {
    inner: R,
    last: Option<u8>,
    in_quotes: bool,
    ended: bool,
}

impl<R> Watch<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, last: None, in_quotes: false, ended: false }
    }

    /// Whether the file ended within a line or, after an odd number of quotes, a text.
    ///
    /// The parser meets the end only while it still looks for the end of a row, so the row that
    /// it gave last is the torn one.
    pub(super) fn is_torn(&self) -> bool {
        self.ended && (self.in_quotes || self.last.is_some_and(|byte| byte != b'\n'))
    }
}

impl<R: Read> Read for Watch<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let ended = length == 0 && !buffer.is_empty();
        let bytes = &buffer[..length];
        for byte in bytes {
            self.in_quotes ^= *byte == b'"';
        }
        self.ended |= ended;
        self.last = bytes.last().copied().or(self.last);
        Ok(length)
    }
}
