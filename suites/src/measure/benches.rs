//! The machines of a job: nearly all cells run in one, some need another.

use bench_vmm::{Host, Irqchip};

use super::{Bench, Error};
use crate::protocol::JobCell;

/// The machines of a job.
pub(super) struct Benches<'a> {
    pub host: &'a Host,
    /// Nearly all cells'.
    pub ordinary: &'a mut Bench,
    /// More of the same, for rounds.
    pub others: Vec<Bench>,
    /// Which of them is used: 0 for the first, which is none of the others.
    pub turn: usize,
    /// Made for the first cell that needs it.
    pub with_lapic: Option<Bench>,
}

impl Benches<'_> {
    /// The machine that this cell needs.
    pub fn of(&mut self, cell: &JobCell) -> Result<&mut Bench, Error> {
        if !cell.lapic {
            return Ok(self.in_turn());
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
            *self.in_turn() = Bench::new(self.host)?;
        }
        Ok(())
    }

    /// The machine whose turn it is.
    fn in_turn(&mut self) -> &mut Bench {
        match self.turn.checked_sub(1) {
            None => self.ordinary,
            Some(other) => &mut self.others[other],
        }
    }

    /// From now on it is the turn of the machine of this round, one of so many that are all there at the
    /// same time: each lies elsewhere in the host's memory.
    pub fn turn(&mut self, round: usize, machines: usize) -> Result<(), Error> {
        self.turn = round % machines;
        if self.turn > self.others.len() {
            self.others.push(Bench::new(self.host)?);
        }
        Ok(())
    }
}
