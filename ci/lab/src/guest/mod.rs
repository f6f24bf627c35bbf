//! What our binary does as PID 1 of a kernel in the lab.
//!
//! ```no_run
//! use drbench_lab::guest;
//!
//! if guest::is_init() {
//!     guest::run(|session| {
//!         let answer = session.job().to_ascii_uppercase();
//!         session.send(&answer)?;
//!         Ok(())
//!     });
//! }
//! ```

mod fw_cfg;
mod io_port;
mod kernel_log;
mod later;
mod module_file;
mod port;
mod setup;

use crate::frame::{Fatal, FatalKind, Kind, MAX_PAYLOAD_BYTES};
use crate::initramfs;
pub(crate) use fw_cfg::JOB_FILE;
use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::{setgid, setgroups, setuid};
use port::Port;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Whether this process is PID 1 of a kernel in the lab: the job is there, or will be.
pub fn is_init() -> bool {
    let there = |path| Path::new(path).exists();
    std::process::id() == 1 && (there(initramfs::JOB) || there(initramfs::LATER))
}

/// Why PID 1 cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// A file system could not be mounted.
    #[error("the kernel cannot mount {file_system} on {target}: {errno}")]
    Mount {
        /// Its type.
        file_system: &'static str,
        /// Where.
        target: &'static str,
        /// Why.
        errno: Errno,
    },
    /// A file of the initramfs or a device.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel refused a module.
    #[error("the kernel refuses the module {name}: {errno}{}", quoted(.complaints))]
    Module {
        /// The module's name.
        name: String,
        /// Why.
        errno: Errno,
        /// The last warnings in the kernel's log, which name the symbol or the version.
        complaints: Vec<String>,
    },
    /// The kernel refused what the job needs, in the job's words.
    #[error("{0}")]
    Refused(String),
    /// The job's own failure, in its words.
    #[error("{0}")]
    Job(String),
    /// The job does not come as a resumed machine gets it.
    #[error("{0}")]
    NoJob(String),
    /// More than fits into a frame.
    #[error("a message of {0} bytes is too long for a frame (at most {MAX_PAYLOAD_BYTES})")]
    TooLong(usize),
}

impl GuestError {
    /// The job's failure; for `map_err`.
    pub fn job(error: impl std::fmt::Display) -> Self {
        Self::Job(error.to_string())
    }

    /// The kernel's refusal; for `map_err`.
    pub fn refused(error: impl std::fmt::Display) -> Self {
        Self::Refused(error.to_string())
    }

    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    fn kind(&self) -> FatalKind {
        match self {
            Self::Module { .. } => FatalKind::Module,
            Self::Mount { .. } | Self::File { .. } | Self::Refused(_) => FatalKind::SetUp,
            Self::Job(_) | Self::NoJob(_) | Self::TooLong(_) => FatalKind::Program,
        }
    }
}

fn quoted(complaints: &[String]) -> String {
    if complaints.is_empty() {
        return String::new();
    }
    format!("\nThe kernel's log: {}", complaints.join("; "))
}

/// The lab, seen from the inside: a job, and a line to answer on.
#[derive(Debug)]
pub struct Session {
    job: Vec<u8>,
    port: Port,
}

impl Session {
    /// Mounts what measuring needs, opens the line, loads the modules in their order, prepares, and
    /// takes the job. Where that comes later, the machine may be saved between the two.
    ///
    /// # Errors
    /// What the kernel refused. It has not been told to the host yet: see [`fail`], or use [`run`].
    pub fn start<P>(
        prepare: impl FnOnce() -> Result<P, GuestError>,
    ) -> Result<(Self, P), GuestError> {
        setup::mount_all()?;
        let port = Port::open()?;
        setup::load_modules(Path::new(initramfs::MODULES))?;
        let prepared = prepare()?;
        let job_path = Path::new(initramfs::JOB);
        let job = if job_path.exists() {
            std::fs::read(job_path).map_err(GuestError::file("read", job_path))?
        } else {
            later::say_prepared_and_take_job()?
        };
        Ok((Self { job, port }, prepared))
    }

    /// What the host wants done.
    pub fn job(&self) -> &[u8] {
        &self.job
    }

    /// Sends a message and waits until the line is empty again, so that its interrupts do not fall
    /// into what is measured next. It costs a few hundred instructions per byte: send seldom, and
    /// never inside a measurement.
    ///
    /// # Errors
    /// If the message is longer than [`MAX_PAYLOAD_BYTES`] or the line is broken.
    pub fn send(&mut self, message: &[u8]) -> Result<(), GuestError> {
        if message.len() > MAX_PAYLOAD_BYTES {
            return Err(GuestError::TooLong(message.len()));
        }
        self.port.send(Kind::Data, message)
    }

    /// Goes on as an ordinary user who may open `devices`, to see what is left without privileges.
    /// There is no way back; the machine is then switched off by the host, after the end marker.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn drop_privileges(&mut self, devices: &[&Path]) -> Result<(), GuestError> {
        const EVERYBODY: u32 = 0o666;
        const NOBODY: u32 = 65534;
        for device in devices {
            std::fs::set_permissions(device, Permissions::from_mode(EVERYBODY))
                .map_err(GuestError::file("open to everybody", device))?;
        }
        setgroups(&[])
            .and_then(|()| setgid(NOBODY.into()))
            .and_then(|()| setuid(NOBODY.into()))
            .map_err(|errno| GuestError::Job(format!("cannot become an ordinary user: {errno}")))
    }

    /// Says that the run is complete, and powers the machine off.
    pub fn finish(mut self) -> ! {
        match self.port.send(Kind::End, &[]) {
            Ok(()) => power_off(),
            Err(error) => fail(&error),
        }
    }
}

/// All of PID 1's life: sets up, does `body`, ends the run. A failure, or a panic in any thread, is
/// told to the host and powers the machine off.
pub fn run(body: impl FnOnce(&mut Session) -> Result<(), GuestError>) -> ! {
    run_prepared(|| Ok(()), |session, ()| body(session))
}

/// The same with work in `prepare` that is the same for every job: a machine that is saved for later
/// runs is saved after it, so that they need not repeat it.
pub fn run_prepared<P>(
    prepare: impl FnOnce() -> Result<P, GuestError>,
    body: impl FnOnce(&mut Session, P) -> Result<(), GuestError>,
) -> ! {
    std::panic::set_hook(Box::new(|panic| fail(&GuestError::job(panic))));
    let outcome = Session::start(prepare).and_then(|(mut session, prepared)| {
        body(&mut session, prepared)?;
        Ok(session)
    });
    match outcome {
        Ok(session) => session.finish(),
        Err(error) => fail(&error),
    }
}

/// Tells the host that PID 1 cannot go on, and powers the machine off.
pub fn fail(error: &GuestError) -> ! {
    // On the console as well: the line may be what is broken, and a panic hook must not panic.
    let _ = io::Write::write_all(&mut io::stderr(), format!("drbench: {error}\n").as_bytes());
    let fatal = Fatal { kind: error.kind(), message: error.to_string() };
    // A new port: the failing thread may be the one that holds the other.
    if let Ok(mut port) = Port::open() {
        let _ = port.send(Kind::Fatal, &fatal.to_bytes());
    }
    power_off()
}

/// Powers the machine off. PID 1 must not return: the kernel would call that a panic.
fn power_off() -> ! {
    let refused = reboot(RebootMode::RB_POWER_OFF).unwrap_err();
    let _ = io::Write::write_all(
        &mut io::stderr(),
        format!("drbench: cannot power off: {refused}\n").as_bytes(),
    );
    loop {
        std::thread::park();
    }
}
