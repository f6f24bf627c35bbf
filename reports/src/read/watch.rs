//! Sees whether a file ends where a row ends, and whether a row ends at all: the CSV parser takes any
//! end for one, and a row of any length.

use std::io::{self, Read};

/// The longest line that is read, in bytes: a hundred times the longest that was ever written.
pub(super) const LONGEST_LINE: usize = 1 << 20;

/// Passes bytes on and remembers how they ended.
#[derive(Debug)]
pub(super) struct Watch<R> {
    inner: R,
    last: Option<u8>,
    in_quotes: bool,
    ended: bool,
    /// Bytes since the last row ended.
    line: usize,
}

impl<R> Watch<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, last: None, in_quotes: false, ended: false, line: 0 }
    }

    /// Whether the file ended within a line or, after an odd number of quotes, a text.
    ///
    /// The parser meets the end only while it still looks for the end of a row, so the row that
    /// it gave last is the torn one.
    pub(super) fn is_torn(&self) -> bool {
        self.ended && (self.in_quotes || self.last.is_some_and(|byte| byte != b'\n'))
    }

    /// Whether a line was too long to go on.
    pub(super) fn is_too_long(&self) -> bool {
        self.line > LONGEST_LINE
    }

    /// Looks at bytes that are passed on.
    fn see(&mut self, bytes: &[u8]) {
        let quotes = memchr::memchr_iter(b'"', bytes).count();
        self.in_quotes ^= quotes % 2 == 1;
        self.line = match last_row_end(bytes, self.in_quotes) {
            Some(end) => bytes.len() - end - 1,
            None => self.line + bytes.len(),
        };
        self.last = bytes.last().copied().or(self.last);
    }
}

/// The last line's end that is no part of a text, in bytes after which one is in quotes or is not.
fn last_row_end(bytes: &[u8], mut in_quotes: bool) -> Option<usize> {
    bytes.iter().rposition(|byte| {
        in_quotes ^= *byte == b'"';
        *byte == b'\n' && !in_quotes
    })
}

impl<R: Read> Read for Watch<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_too_long() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line does not end"));
        }
        let length = self.inner.read(buffer)?;
        self.ended |= length == 0 && !buffer.is_empty();
        self.see(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch after it has passed this on, in pieces of so many bytes.
    fn after(bytes: &[u8], piece: usize) -> (Watch<&[u8]>, io::Result<usize>) {
        let mut watch = Watch::new(bytes);
        let mut buffer = vec![0; piece];
        let mut total = 0;
        loop {
            match watch.read(&mut buffer) {
                Ok(0) => return (watch, Ok(total)),
                Ok(length) => total += length,
                Err(error) => return (watch, Err(error)),
            }
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_given_up_before_it_fills_the_memory() {
        for piece in [1 << 10, 1 << 16] {
            for start in [&b"a,b\n"[..], b"a,b\n\"text\n\n"] {
                let endless = [start, &vec![b'x'; 3 * LONGEST_LINE]].concat();
                let (watch, ended) = after(&endless, piece);
                assert!(ended.is_err() && watch.is_too_long());
            }
            for line in [&b"12345678\n"[..], b"\"a,\nquoted, text\"\n"] {
                let long = line.repeat(LONGEST_LINE / 4);
                let (watch, ended) = after(&long, piece);
                assert_eq!(ended.unwrap(), long.len());
                assert!(!watch.is_torn() && !watch.is_too_long());
            }
        }
    }

    #[test]
    fn torn_is_what_ends_within_a_line_or_a_text_however_it_is_read() {
        for piece in 1..5 {
            for (text, torn) in
                [("a\n", false), ("a", true), ("\"a\n", true), ("\"a\n\"\n", false), ("", false)]
            {
                assert_eq!(after(text.as_bytes(), piece).0.is_torn(), torn, "{text:?} by {piece}");
            }
        }
    }
}
