//! QEMU's command line for the stages of a run. What the guest can see of it is the same in all of
//! them, so that it does the same whether it is stopped, saved and resumed, or just goes on.

use super::snapshot::Snapshot;
use super::{Boot, Files};
use crate::emulator::{MachineFiles, Qemu, option_with_path};
use crate::guest::JOB_FILE;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What an emulator is started for.
#[derive(Clone, Copy)]
pub(super) enum Stage<'a> {
    /// To boot and do the job.
    Cold,
    /// To boot, with its memory in this file, be saved when the guest has prepared, and go on.
    Save(&'a Path),
    /// To go on from there, and do the job.
    Resume(&'a Snapshot),
}

/// The device with which the guest says that it has prepared.
const SAY: &[&str] = &["-device", "pvpanic", "-action"];

/// The guest's memory under a name, and a line to the emulator.
const SAVEABLE: &[&str] = &[
    "-machine",
    "memory-backend=memory",
    "-chardev",
    "stdio,id=qmp,signal=off",
    "-mon",
    "chardev=qmp,mode=control",
];

impl Boot {
    /// The machine's command line, and what the stage adds to it.
    pub(super) fn qemu_command_line(
        &self,
        qemu: &Qemu,
        files: &Files,
        stage: Stage<'_>,
    ) -> Vec<OsString> {
        let machine_files = MachineFiles {
            kernel: &self.image,
            initramfs: &files.initramfs,
            console: &files.console,
            frames: &files.frames,
        };
        let mut words = qemu.command_line(&self.machine, self.clock);
        words.extend(self.machine.qemu_arguments(self.clock, machine_files, &self.append));
        let job = option_with_path(&format!("name={JOB_FILE},file="), &files.job);
        words.extend(["-fw_cfg".into(), job]);
        words.extend(SAY.iter().map(OsString::from));
        let (action, memory): (_, Option<(PathBuf, _)>) = match stage {
            Stage::Cold => ("panic=none", None),
            Stage::Save(memory) => ("panic=pause", Some((memory.to_owned(), "share=on"))),
            // Opened for reading only: no run can change what others begin with.
            Stage::Resume(snapshot) => {
                ("panic=pause", Some((snapshot.memory(), "share=off,readonly=on,rom=off")))
            }
        };
        words.push(action.into());
        if let Some((file, sharing)) = memory {
            let size = self.machine.memory_mib;
            let memory = format!("memory-backend-file,id=memory,size={size}M,{sharing},mem-path=");
            words.extend(["-object".into(), option_with_path(&memory, &file)]);
            words.extend(SAVEABLE.iter().map(OsString::from));
        }
        if matches!(stage, Stage::Resume(_)) {
            words.extend(["-S", "-incoming", "defer"].map(OsString::from));
        }
        words
    }
}
