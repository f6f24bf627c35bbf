//! Finding frames in a stream.

use super::{Frame, FrameError, HEADER_BYTES, Kind, MAGIC, MAX_PAYLOAD_BYTES};

/// Finds frames in bytes that come in pieces of any size, with anything between them.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where in `buffer` the part not looked at yet begins.
    start: usize,
    expected: u32,
    garbage: u64,
    /// A frame that is whole, kept back while the loss before it is reported.
    held: Option<Frame>,
    ended: bool,
}

/// A header whose checksum is right.
struct Header {
    kind: Kind,
    sequence: u32,
    payload_bytes: usize,
    payload_crc: u32,
}

impl Decoder {
    /// Takes the stream's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that no more bytes come: what looks unfinished is then an error or garbage.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Bytes skipped so far because they belong to no frame.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    /// The frame at the front, or what happened to it.
    fn advance(&mut self) -> Option<Result<Frame, FrameError>> {
        loop {
            self.skip_to_magic();
            let rest = &self.buffer[self.start..];
            if rest.len() < HEADER_BYTES {
                if !self.ended || rest.is_empty() {
                    return None;
                }
                self.skip(1);
                continue;
            }
            let Some(header) = parse_header(rest) else {
                self.skip(1);
                continue;
            };
            let body = &rest[HEADER_BYTES..];
            if body.len() < header.payload_bytes {
                if !self.ended {
                    return None;
                }
                let missing = header.payload_bytes - body.len();
                let sequence = header.sequence;
                // Whatever else is inside may still be a frame: look there, not behind it.
                self.skip(1);
                return Some(Err(FrameError::Truncated { sequence, missing }));
            }
            let payload = &body[..header.payload_bytes];
            if crc32fast::hash(payload) != header.payload_crc {
                self.expected = header.sequence.wrapping_add(1);
                self.skip(1);
                return Some(Err(FrameError::Corrupt { sequence: header.sequence }));
            }
            let payload = payload.to_vec();
            self.start += HEADER_BYTES + header.payload_bytes;
            return Some(self.in_sequence(Frame {
                kind: header.kind,
                sequence: header.sequence,
                payload,
            }));
        }
    }

    /// Reports a gap first and keeps the frame for the next call.
    fn in_sequence(&mut self, frame: Frame) -> Result<Frame, FrameError> {
        let expected = std::mem::replace(&mut self.expected, frame.sequence.wrapping_add(1));
        if expected == frame.sequence {
            return Ok(frame);
        }
        let found = frame.sequence;
        self.held = Some(frame);
        Err(FrameError::Lost { expected, found })
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        self.garbage += bytes as u64;
    }

    /// Stops at the magic, or at the end where it may have begun.
    fn skip_to_magic(&mut self) {
        let rest = &self.buffer[self.start..];
        let offset = (0..rest.len())
            .find(|&at| rest[at..].iter().zip(MAGIC).all(|(byte, magic)| *byte == magic))
            .unwrap_or(rest.len());
        self.skip(offset);
    }
}

impl Iterator for Decoder {
    type Item = Result<Frame, FrameError>;

    /// `None` says that more bytes are needed, not that the stream is over.
    fn next(&mut self) -> Option<Self::Item> {
        self.held.take().map(Ok).or_else(|| self.advance())
    }
}

/// Reads a header at the front of `bytes`, which are at least [`HEADER_BYTES`] long.
fn parse_header(bytes: &[u8]) -> Option<Header> {
    let number = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let header = Header {
        kind: Kind::from_byte(bytes[4])?,
        sequence: number(5)?,
        payload_bytes: usize::try_from(number(9)?).ok()?,
        payload_crc: number(13)?,
    };
    let sound = bytes.starts_with(&MAGIC)
        && number(17)? == crc32fast::hash(&bytes[..17])
        && header.payload_bytes <= MAX_PAYLOAD_BYTES;
    sound.then_some(header)
}
