//! Who is to blame when a kernel could not be tested.

/// What an error says about the kernel under test. The command line turns it into an exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The user's words or the machine around us: no emulator, no such version, a broken file.
    Environment,
    /// The kernel itself: it does not boot, panics, hangs, or a module will not load.
    Kernel,
}

/// An error that knows whose fault it is.
pub trait Blamed: std::error::Error {
    /// Whose fault this error is.
    fn blame(&self) -> Blame;
}
