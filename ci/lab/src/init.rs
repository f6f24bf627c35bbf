//! The binary that is PID 1.

use crate::cache::Digest;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A static binary and its checksum: read once, however many machines boot with it.
#[derive(Clone, Debug)]
pub struct Init {
    bytes: Arc<[u8]>,
    sum: Digest,
}

impl Init {
    /// Reads a binary.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes: Arc<[u8]> = fs::read(path)?.into();
        Ok(Self { sum: Digest::of(&bytes), bytes })
    }

    /// This very program, read at the first call.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn this_program() -> io::Result<Self> {
        static PROGRAM: OnceLock<Init> = OnceLock::new();
        if let Some(program) = PROGRAM.get() {
            return Ok(program.clone());
        }
        let program = Self::read(&std::env::current_exe()?)?;
        Ok(PROGRAM.get_or_init(|| program).clone())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their checksum.
    pub fn sum(&self) -> Digest {
        self.sum
    }
}
