//! One virtual machine: memory, processors, and the payload in it.

use guest_payloads::handlers;
use guest_payloads::layout::{CODE, CODE_SIZE, MAX_VCPUS, MEMORY_SIZE, port};
use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use nix::errno::Errno;
use nix::unistd::gettid;
use std::io;
use std::os::fd::AsRawFd;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::boot;
use crate::crash::GuestError;
use crate::host::{Host, HostError, KvmModule};
use crate::lapic;
use crate::memory::GuestMemory;
use crate::sys;
use crate::vcpu::{Vcpu, VmIdentity};

/// Three pages near 4 GiB that KVM on Intel wants for itself; no guest memory is there.
const INTEL_TSS_ADDRESS: usize = 0xfffb_d000;

/// A payload to run.
#[derive(Clone, Copy, Debug)]
pub struct GuestImage<'a> {
    /// Machine code, loaded at [`CODE`].
    pub code: &'a [u8],
    /// Where every vCPU begins.
    pub entry: u64,
}

/// Whether KVM emulates the interrupt controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Irqchip {
    /// It does not: HLT is an exit to userspace, and no interrupt disturbs the guest.
    #[default]
    None,
    /// It does: needed for exits by way of the LAPIC. Its timer is in TSC-deadline mode, masked.
    Kernel,
}

/// What a machine is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineConfig {
    /// How many vCPUs, 1 to 4.
    pub vcpus: u8,
    /// The interrupt controllers.
    pub irqchip: Irqchip,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self { vcpus: 1, irqchip: Irqchip::None }
    }
}

/// A machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// KVM refused the machine.
    #[error(transparent)]
    Host(#[from] HostError),
    /// KVM refused a vCPU's state.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The host has no memory for the guest.
    #[error("mapping {MEMORY_SIZE} bytes for the guest failed: {0}; free some memory")]
    Memory(Errno),
    /// The host has no more file descriptors.
    #[error("an eventfd for the guest could not be made: {0}; raise the limit (ulimit -n)")]
    EventFd(io::Error),
    /// The payload is too large.
    #[error("the payload's code takes {size} bytes, there is room for {CODE_SIZE}; unroll less")]
    ImageTooLarge {
        /// Bytes of code.
        size: usize,
    },
    /// No such number of vCPUs.
    #[error("a machine has 1 to {MAX_VCPUS} vCPUs, not {0}")]
    Vcpus(u8),
    /// An ioctl on the virtual machine failed.
    #[error("{ioctl} failed: {errno}; the kernel's log (dmesg) may say more")]
    Ioctl {
        /// The ioctl's name in the kernel's documentation.
        ioctl: &'static str,
        /// What it answered.
        errno: Errno,
    },
}

/// A virtual machine with a payload loaded.
#[derive(Debug)]
pub struct Machine {
    // Dropped in this order: nothing of the VM outlives its memory.
    vcpus: Vec<Vcpu>,
    _vm: VmFd,
    memory: GuestMemory,
}

impl Machine {
    /// Makes a machine and loads `image`; every vCPU is ready to run from its entry.
    pub fn new(
        host: &Host,
        image: &GuestImage<'_>,
        config: MachineConfig,
    ) -> Result<Self, MachineError> {
        if !(1..=MAX_VCPUS).contains(&config.vcpus) {
            return Err(MachineError::Vcpus(config.vcpus));
        }
        let vm = host.create_vm()?;
        if host.module() == KvmModule::Intel {
            vm.set_tss_address(INTEL_TSS_ADDRESS).map_err(failed("KVM_SET_TSS_ADDR"))?;
        }
        let memory = GuestMemory::new(config.vcpus).map_err(MachineError::Memory)?;
        sys::add_memory(&vm, &memory).map_err(failed("KVM_SET_USER_MEMORY_REGION"))?;
        // KVM holds on to the eventfd's context; nobody reads it, and a full counter stops no write.
        let taken = EventFd::new(EFD_NONBLOCK).map_err(MachineError::EventFd)?;
        let port = IoEventAddress::Pio(port::KERNEL.into());
        vm.register_ioevent(&taken, &port, NoDatamatch).map_err(failed("KVM_IOEVENTFD"))?;
        if config.irqchip == Irqchip::Kernel {
            vm.create_irq_chip().map_err(failed("KVM_CREATE_IRQCHIP"))?;
        }
        let cpuid = match config.irqchip {
            Irqchip::None => host.cpuid().clone(),
            Irqchip::Kernel => lapic::with_deadline_timer(host.cpuid()),
        };
        let identity = VmIdentity { creator: gettid(), fd: vm.as_raw_fd() };
        let mut vcpus = Vec::with_capacity(usize::from(config.vcpus));
        for index in 0..config.vcpus {
            let fd = vm.create_vcpu(index.into()).map_err(failed("KVM_CREATE_VCPU"))?;
            fd.set_cpuid2(&cpuid).map_err(failed("KVM_SET_CPUID2"))?;
            if config.irqchip == Irqchip::Kernel {
                lapic::begin_deadline_mode(&fd).map_err(|(ioctl, error)| failed(ioctl)(error))?;
            }
            vcpus.push(Vcpu::new(fd, index, memory.seen_by(index), identity)?);
        }
        let mut machine = Self { vcpus, _vm: vm, memory };
        machine.load(image)?;
        Ok(machine)
    }

    /// Puts another payload in place of the last: tables, handlers, code and an empty exception log
    /// are written, every vCPU is reset to the image's entry. Other memory is left as it is.
    pub fn load(&mut self, image: &GuestImage<'_>) -> Result<(), MachineError> {
        if image.code.len() as u64 > CODE_SIZE {
            return Err(MachineError::ImageTooLarge { size: image.code.len() });
        }
        for vcpu in &mut self.vcpus {
            let memory = vcpu.memory();
            boot::write_tables(memory, handlers::assembled(), vcpu.index());
            memory.write(CODE, image.code);
            memory.clear_log();
            vcpu.reset(image.entry)?;
        }
        Ok(())
    }

    /// The first vCPU.
    pub fn vcpu(&mut self) -> &mut Vcpu {
        &mut self.vcpus[0]
    }

    /// All vCPUs, each of which may be moved to a thread of its own (`std::thread::scope`).
    pub fn vcpus(&mut self) -> &mut [Vcpu] {
        &mut self.vcpus
    }

    /// The guest's memory, as the first vCPU sees it.
    pub fn memory(&self) -> &GuestMemory {
        &self.memory
    }
}

fn failed(ioctl: &'static str) -> impl Fn(kvm_ioctls::Error) -> MachineError {
    move |error| MachineError::Ioctl { ioctl, errno: Errno::from_raw(error.errno()) }
}
