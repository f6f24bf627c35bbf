//! Following the file of frames while the emulator writes it.

use super::BootError;
use crate::frame::{Decoder, Fatal, Frame, FrameError, Kind};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Reads frames from a growing file.
#[derive(Debug)]
pub(super) struct Receiver {
    path: PathBuf,
    file: File,
    decoder: Decoder,
    data_frames: u64,
    broken: Option<FrameError>,
}

/// The guest's last word, or what stands in for it.
#[derive(Debug)]
pub(super) enum Ending {
    /// Everything came.
    End,
    /// The init gave up.
    Fatal(Fatal),
    /// The guest ended and frames are missing.
    Broken(FrameError),
}

impl Receiver {
    /// Opens the file, which exists already.
    pub(super) fn open(path: &Path) -> Result<Self, BootError> {
        let file = File::open(path).map_err(BootError::io("open", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            decoder: Decoder::default(),
            data_frames: 0,
            broken: None,
        })
    }

    /// Hands over the data frames that are new. `last` says that the file will not grow any more.
    pub(super) fn receive(
        &mut self,
        last: bool,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Ending>, BootError> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(BootError::io("read", &self.path))?;
        self.decoder.push(&bytes);
        if last {
            self.decoder.end();
        }
        for item in self.decoder.by_ref() {
            match item {
                Ok(Frame { kind: Kind::Data, payload, .. }) => {
                    self.data_frames += 1;
                    on_frame(&payload);
                }
                Ok(Frame { kind: Kind::End, .. }) => {
                    return Ok(Some(self.broken.map_or(Ending::End, Ending::Broken)));
                }
                // It says more than a damaged frame before it would.
                Ok(Frame { kind: Kind::Fatal, payload, .. }) => {
                    return Ok(Some(Ending::Fatal(Fatal::from_bytes(&payload))));
                }
                Err(error) => self.broken = self.broken.or(Some(error)),
            }
        }
        Ok(None)
    }

    /// How many data frames were handed over.
    pub(super) fn data_frames(&self) -> u64 {
        self.data_frames
    }
}
