//! Messages on a byte stream that may lose, damage or add bytes: the lab's serial line.
//!
//! ```text
//! offset  0      4     5          9        13            17           21
//!         magic  kind  sequence   length   payload crc   header crc   payload…
//!         4      1     4          4        4             4            length
//! ```
//! Numbers are little-endian. The header has a checksum of its own, so a length is believed only
//! when it is right, and a reader that lost its place never waits for bytes that do not come.
//!
//! ```
//! use drbench_lab::frame::{Decoder, Encoder, Kind};
//!
//! let mut line = b"noise".to_vec();
//! line.extend(Encoder::default().encode(Kind::Data, b"exits,29"));
//! let mut decoder = Decoder::default();
//! decoder.push(&line);
//! let frame = decoder.next().unwrap().unwrap();
//! assert_eq!((frame.kind, &frame.payload[..]), (Kind::Data, &b"exits,29"[..]));
//! assert_eq!(decoder.garbage(), 5);
//! ```

mod decoder;
#[cfg(test)]
mod properties;

pub use decoder::Decoder;

use std::fmt;

/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"\x01dRb";

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 21;

/// The longest payload, in bytes. Longer results go out in several frames.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Bytes for the caller.
    Data = 1,
    /// The run is complete. A run is judged by this, not by the emulator's exit status.
    End = 2,
    /// The init cannot go on. The payload is a [`Fatal`].
    Fatal = 3,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Data, Self::End, Self::Fatal].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is for.
    pub kind: Kind,
    /// Counts frames from 0 and wraps.
    pub sequence: u32,
    /// The message, at most [`MAX_PAYLOAD_BYTES`].
    pub payload: Vec<u8>,
}

/// What the line did to the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame's number does not follow its predecessor's.
    #[error("frame {expected} was lost on the serial line: frame {found} came instead")]
    Lost {
        /// The number that should have come.
        expected: u32,
        /// The number that came.
        found: u32,
    },
    /// A frame's header is right and its payload is not.
    #[error("frame {sequence} was damaged on the serial line: its checksum does not match")]
    Corrupt {
        /// The damaged frame's number.
        sequence: u32,
    },
    /// The stream ended inside a frame.
    #[error("the serial line ended inside frame {sequence}: {missing} bytes are missing")]
    Truncated {
        /// The unfinished frame's number.
        sequence: u32,
        /// How many bytes of it did not come.
        missing: usize,
    },
}

/// Numbers frames and turns them into bytes.
#[derive(Debug, Default)]
pub struct Encoder {
    next_sequence: u32,
}

impl Encoder {
    /// The bytes of the next frame.
    ///
    /// # Panics
    /// If `payload` is longer than [`MAX_PAYLOAD_BYTES`].
    pub fn encode(&mut self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        let bytes = encode(self.next_sequence, kind, payload);
        self.next_sequence = self.next_sequence.wrapping_add(1);
        bytes
    }
}

/// The bytes of the frame with this number.
///
/// # Panics
/// If `payload` is longer than [`MAX_PAYLOAD_BYTES`].
pub fn encode(sequence: u32, kind: Kind, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= MAX_PAYLOAD_BYTES, "a frame of {} bytes is too long", payload.len());
    let length = u32::try_from(payload.len()).expect("checked just above");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend(MAGIC);
    bytes.push(kind as u8);
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(crc32fast::hash(payload).to_le_bytes());
    let header_crc = crc32fast::hash(&bytes);
    bytes.extend(header_crc.to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// Why the init cannot go on. It decides who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FatalKind {
    /// The kernel refused a module.
    Module = 1,
    /// The kernel refused a mount, a device or another part of the set-up.
    SetUp = 2,
    /// The program itself failed: it panicked, or its job made no sense.
    Program = 3,
}

/// The payload of a [`Kind::Fatal`] frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// Whose failure it is.
    pub kind: FatalKind,
    /// One clear text.
    pub message: String,
}

impl Fatal {
    /// A byte for the kind, then the text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let text = &self.message.as_bytes()[..self.message.len().min(MAX_PAYLOAD_BYTES - 1)];
        [&[self.kind as u8], text].concat()
    }

    /// Reads back [`Fatal::to_bytes`]. An unknown kind is the program's.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (kind, text) = bytes.split_first().map_or((0, bytes), |(kind, text)| (*kind, text));
        let kind = [FatalKind::Module, FatalKind::SetUp]
            .into_iter()
            .find(|known| *known as u8 == kind)
            .unwrap_or(FatalKind::Program);
        Self { kind, message: String::from_utf8_lossy(text).into_owned() }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
