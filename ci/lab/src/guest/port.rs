//! The second serial port, on which frames go out.

use super::GuestError;
use crate::frame::{self, Kind};
use nix::errno::Errno;
use nix::sys::termios::{ControlFlags, SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// The device.
const PORT: &str = "/dev/ttyS1";

/// The number of the next frame, whoever sends it: a panic hook opens a port of its own.
static NEXT_SEQUENCE: AtomicU32 = AtomicU32::new(0);

/// An open port in raw mode.
#[derive(Debug)]
pub(super) struct Port {
    file: File,
}

impl Port {
    /// Opens the port. It never becomes our controlling terminal, nor waits for a carrier.
    pub(super) fn open() -> Result<Self, GuestError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(PORT)
            .map_err(GuestError::file("open", Path::new(PORT)))?;
        make_raw(&file).map_err(refused("set up"))?;
        Ok(Self { file })
    }

    /// Sends one frame and waits until it is out.
    pub(super) fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), GuestError> {
        let sequence = NEXT_SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let bytes = frame::encode(sequence, kind, payload);
        self.file.write_all(&bytes).map_err(GuestError::file("write to", Path::new(PORT)))?;
        tcdrain(&self.file).map_err(refused("drain"))
    }
}

fn make_raw(file: &File) -> Result<(), Errno> {
    let mut settings = tcgetattr(file)?;
    cfmakeraw(&mut settings);
    // Bochs sends no faster than the line: at 9600 baud a run's frames take longer than the run.
    // The speed stands in the flags (termios(3)); the functions that set it do not link statically.
    settings.control_flags.remove(ControlFlags::CBAUD);
    settings.control_flags.insert(ControlFlags::from_bits_retain(libc::B115200));
    settings.control_flags.insert(ControlFlags::CLOCAL);
    tcsetattr(file, SetArg::TCSANOW, &settings)
}

fn refused(action: &'static str) -> impl FnOnce(Errno) -> GuestError {
    move |errno| GuestError::file(action, Path::new(PORT))(io::Error::from(errno))
}
