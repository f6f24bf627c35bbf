//! Booting a kernel with our binary as PID 1, and taking what it sends.

mod bochs;
mod console;
mod error;
mod process;
mod qmp;
mod receive;
mod snapshot;
mod stage;
mod warm;

pub use bochs::MemoryError;
pub use console::Console;
pub use error::BootError;
pub use qmp::QmpError;
pub use snapshot::KIND as SNAPSHOTS;

use crate::cache::{Cache, Digest};
use crate::emulator::{Clock, Emulator, Machine};
use crate::frame::{Fatal, FrameError};
use crate::init::Init;
use crate::initramfs::{self, Errand, Later};
use process::{Exit, Process};
use receive::{Ending, Receiver};
use stage::Stage;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use warm::{Detour, WarmRun};

/// How often the frames and the emulator are looked at. The guest notices nothing of it.
const POLL: Duration = Duration::from_millis(5);

/// One boot: what is booted, and how.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The kernel: an ELF vmlinux with a PVH entry, or a bzImage (several seconds slower).
    pub image: PathBuf,
    /// Its checksum: a machine that is saved is saved under it.
    pub image_sum: Digest,
    /// Names such as `kvm_amd` and uncompressed contents, in load order.
    pub modules: Vec<(String, Vec<u8>)>,
    /// The static binary that is PID 1 and the only program; see [`crate::guest`].
    pub init: Init,
    /// What the binary is to do, in its own words.
    pub job: Vec<u8>,
    /// What the kernel runs on.
    pub machine: Machine,
    /// What makes time pass in the guest.
    pub clock: Clock,
    /// More words for the kernel's command line.
    pub append: Vec<String>,
    /// Host time after which a guest that has not ended counts as hung.
    pub time_limit: Duration,
    /// Where to keep the console's log; none: nowhere.
    pub console: Option<PathBuf>,
    /// Where the run's own files lie while it lasts; none: the system's place for such files. What a
    /// killed process leaves behind is in there.
    pub work: Option<PathBuf>,
    /// Where machines are kept that were saved after set-up, for later runs to go on from; none:
    /// every run boots. Only with [`Clock::Instructions`], and an emulator that counts them: there it
    /// is exact.
    pub snapshots: Option<Cache>,
}

/// A run that reached its end marker.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many frames with data came.
    pub frames: u64,
    /// Host time from the emulator's start to the end marker.
    pub wall: Duration,
    /// The emulator's whole command line.
    pub command_line: Vec<OsString>,
    /// The kernel's.
    pub kernel_command_line: String,
    /// What the kernel wrote to its console, as far as it is told.
    pub console: Console,
    /// It went on from a machine that an earlier run saved.
    pub warm: bool,
    /// What did not go as it should, although the run went on; for the user.
    pub warnings: Vec<String>,
}

/// The files of one run, and their folder, which goes when this does.
struct Files {
    initramfs: PathBuf,
    console: PathBuf,
    frames: PathBuf,
    complaints: PathBuf,
    /// Where the emulator finds the guest's job.
    job: PathBuf,
    folder: tempfile::TempDir,
}

impl Boot {
    /// Boots, hands every data frame to `on_frame` when it is whole, and returns when the guest has
    /// sent its end marker. Frames that came before a failure have been handed over by then.
    ///
    /// The emulator is gone when this returns, and also when this process dies in whatever way.
    ///
    /// # Errors
    /// [`BootError`]; its [`Blamed::blame`](crate::Blamed::blame) tells the kernel's failures from
    /// those of the machine around it.
    pub fn run(
        &self,
        emulator: &Emulator,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Result<Outcome, BootError> {
        if !emulator.runs(self.machine.kind) {
            let program = emulator.program().to_owned();
            return Err(BootError::WrongEmulator { program, kind: self.machine.kind });
        }
        let started = Instant::now();
        let mut warnings: Vec<_> =
            emulator.warning(&self.machine, self.clock).into_iter().collect();
        if let Some(cache) = &self.snapshots
            && self.clock == Clock::Instructions
            && emulator.counts_instructions()
        {
            let mut run = WarmRun { boot: self, emulator, cache, started, warnings };
            match run.run(on_frame) {
                Ok(outcome) => return Ok(Outcome { warnings: run.warnings, ..outcome }),
                Err(Detour::Failed(error)) => return Err(*error),
                Err(Detour::Unsaved(why)) => {
                    warnings = run.warnings;
                    warnings.push(format!("booted cold, without a snapshot: {why}"));
                }
            }
        }
        let files = self.prepare(emulator)?;
        let command_line = self.command_line(emulator, &files)?;
        let process = Process::start(&command_line, &files.complaints)?;
        let mut receiver = Receiver::open(&files.frames)?;
        let outcome =
            self.follow(started, process, &mut receiver, &files, command_line, on_frame)?;
        Ok(Outcome { warnings, ..outcome })
    }

    /// Takes what a running emulator's guest sends, to its end.
    fn follow(
        &self,
        started: Instant,
        mut process: Process,
        receiver: &mut Receiver,
        files: &Files,
        command_line: Vec<OsString>,
        on_frame: &mut dyn FnMut(&[u8]),
    ) -> Result<Outcome, BootError> {
        let stopped = self.watch(started, &mut process, receiver, on_frame, &mut || false)?;
        let wall = started.elapsed();
        process.stop();
        let console = Console::read(&files.console);
        if let Some(error) = self.failure(stopped, files, console.clone()) {
            return Err(error);
        }
        Ok(Outcome {
            frames: receiver.data_frames(),
            wall,
            command_line,
            kernel_command_line: self.machine.kernel_command_line(&self.append),
            console,
            warm: false,
            warnings: Vec::new(),
        })
    }

    /// What an ending other than the right one is called.
    fn failure(&self, stopped: Stopped, files: &Files, console: Console) -> Option<BootError> {
        Some(match stopped {
            Stopped::Ended | Stopped::Itself => return None,
            Stopped::Broken(reason) => BootError::Frames(reason),
            Stopped::Fatal(fatal) => BootError::Init { fatal, console },
            Stopped::TimedOut => BootError::hung(self, console),
            Stopped::Exited(exit) => BootError::exited(self, exit, &files.complaints, console),
        })
    }

    /// Writes what the emulator reads, and creates what it writes.
    fn prepare(&self, emulator: &Emulator) -> Result<Files, BootError> {
        fs::File::open(&self.image).map_err(BootError::io("open the kernel", &self.image))?;
        let work = self.work.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new()
            .prefix("drbench-boot-")
            .tempdir_in(&work)
            .map_err(BootError::io("create a folder in", &work))?;
        let at = |name| folder.path().join(name);
        let files = Files {
            initramfs: at("initramfs"),
            console: self.console.clone().unwrap_or_else(|| at("console")),
            frames: at("frames"),
            complaints: at("stderr"),
            job: at("job"),
            folder,
        };
        initramfs::build(self.init.bytes(), &self.modules, self.errand(emulator))
            .and_then(|archive| fs::write(&files.initramfs, archive))
            .map_err(BootError::io("write the initramfs", &files.initramfs))?;
        fs::write(&files.job, &self.job).map_err(BootError::io("write", &files.job))?;
        for file in [&files.console, &files.frames] {
            fs::File::create(file).map_err(BootError::io("create", file))?;
        }
        Ok(files)
    }

    /// How the guest gets its job.
    fn errand(&self, emulator: &Emulator) -> Errand<'_> {
        match emulator {
            Emulator::Qemu(_) => Errand::Later(Later::Qemu),
            Emulator::Bochs(bochs) if bochs.is_the_labs() => Errand::Later(Later::Bochs),
            Emulator::Bochs(_) => Errand::Now(&self.job),
        }
    }

    fn command_line(&self, emulator: &Emulator, files: &Files) -> Result<Vec<OsString>, BootError> {
        match emulator {
            Emulator::Qemu(qemu) => Ok(self.qemu_command_line(qemu, files, Stage::Cold)),
            Emulator::Bochs(program) => bochs::prepare(self, program, files, None),
        }
    }

    fn watch(
        &self,
        started: Instant,
        emulator: &mut Process,
        receiver: &mut Receiver,
        on_frame: &mut dyn FnMut(&[u8]),
        stopped_itself: &mut dyn FnMut() -> bool,
    ) -> Result<Stopped, BootError> {
        loop {
            // Asked before the frames are read: what was written before the exit is then seen.
            let exit = emulator.exited()?;
            let ending = receiver.receive(exit.is_some(), on_frame)?;
            let stopped = match (ending, exit) {
                (Some(Ending::End), _) => Stopped::Ended,
                (Some(Ending::Fatal(fatal)), _) => Stopped::Fatal(fatal),
                (Some(Ending::Broken(reason)), _) => Stopped::Broken(reason),
                (None, Some(exit)) => Stopped::Exited(exit),
                (None, None) if stopped_itself() => Stopped::Itself,
                (None, None) if started.elapsed() > self.time_limit => Stopped::TimedOut,
                (None, None) => {
                    std::thread::sleep(POLL);
                    continue;
                }
            };
            return Ok(stopped);
        }
    }

    fn image(&self) -> &Path {
        &self.image
    }
}

/// Why the run is over.
enum Stopped {
    Ended,
    /// So that it can be saved.
    Itself,
    Fatal(Fatal),
    Broken(FrameError),
    Exited(Exit),
    TimedOut,
}
