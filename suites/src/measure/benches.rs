//! The machines of a job: nearly all cells run in one, some need another.

use bench_vmm::{Host, Irqchip};

use super::{Bench, Error};
use crate::protocol::JobCell;

/// The machines of a job.
pub(super) struct Benches<'a> {
    pub host: &'a Host,
    /// Nearly all cells'.
    pub ordinary: &'a mut Bench,
    /// Made for the first cell that needs it.
    pub with_lapic: Option<Bench>,
}

impl Benches<'_> {
    /// The machine that this cell needs.
    pub fn of(&mut self, cell: &JobCell) -> Result<&mut Bench, Error> {
        if !cell.lapic {
            return Ok(self.ordinary);
        }
        if self.with_lapic.is_none() {
            self.with_lapic = Some(Bench::with(self.host, Irqchip::Kernel)?);
        }
        Ok(self.with_lapic.as_mut().expect("it has just been made"))
    }

    /// A vCPU that crashed or hung may be in any state: the next cell gets a new one.
    pub fn renew(&mut self, cell: &JobCell) -> Result<(), Error> {
        if cell.lapic {
            self.with_lapic = None;
        } else {
            *self.ordinary = Bench::new(self.host)?;
        }
        Ok(())
    }
}
