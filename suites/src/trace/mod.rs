//! Trace-driven payloads: a real machine's context switches, played in the guest.
//!
//! [`args`] are the options, [`line`] reads a line, [`record`] a file, [`play`] makes of it what the guest executes.

pub mod args;
pub mod line;
pub mod play;
pub mod record;

pub use args::TraceArgs;
pub use play::{Load, Piece, Playing};
pub use record::{RecordError, Recording, Selection};

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::cli::{RunArgs, Suite};
use crate::status::Failure;

/// The load that a command line asks for; none for other suites.
///
/// # Errors
/// Words that make no sense together; a record that cannot be read or played.
pub fn load(args: &RunArgs) -> Result<Option<Arc<Load>>, Failure> {
    let words = &args.trace;
    match (args.suite, &words.trace) {
        (Suite::Trace, Some(path)) => {
            let selection = Selection {
                debugged: words.debugged.clone(),
                first: words.trace_switches.and_then(NonZeroU64::new),
            };
            let playing =
                Playing { pattern: words.debugged_as, exits_per_second: words.exits_per_second };
            let recording = Recording::read(path, &selection).map_err(Failure::environment)?;
            let load = Load::of(&recording, &selection, playing).map_err(|problem| {
                Failure::usage(format!("the trace {}: {problem}", path.display()))
            })?;
            Ok(Some(Arc::new(load)))
        }
        (Suite::Trace, None) => Err(Failure::usage(
            "--suite trace plays a record of context switches: --trace FILE names its text. To make \
             one: perf record -e sched:sched_switch -a -o FILE.data sleep 10; perf script -i \
             FILE.data > FILE",
        )),
        (_, Some(_)) => {
            Err(Failure::usage("--trace is for the suite that plays it: --suite trace"))
        }
        (_, None) => Ok(None),
    }
}
