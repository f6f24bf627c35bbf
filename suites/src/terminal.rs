//! What is told while something runs: a bar on a terminal, plain lines elsewhere.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use reports::Style;

use crate::status::Failure;

/// Colours for standard output.
pub fn style() -> Style {
    Style::detect(std::io::stdout().is_terminal())
}

/// Writes to standard output. A reader that has seen enough (`drbench list kernels | head`) is no
/// error: the rest is dropped, and the exit status stays what it is.
///
/// # Errors
/// Standard output is a full disk, for example.
pub fn write_out(text: fmt::Arguments<'_>) -> Result<(), Failure> {
    match std::io::stdout().write_fmt(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::environment(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A line on standard output; for functions that give a [`Failure`].
macro_rules! outln {
    ($($text:tt)*) => {
        $crate::terminal::write_out(format_args!("{}\n", format_args!($($text)*)))?
    };
}
pub(crate) use outln;

/// Standard error, shared by whatever runs side by side.
pub struct Board {
    bars: Option<MultiProgress>,
}

impl Board {
    /// Bars on a terminal, plain lines elsewhere.
    pub fn detect() -> Self {
        Self { bars: std::io::stderr().is_terminal().then(MultiProgress::new) }
    }

    /// Begins a piece of work.
    pub fn progress(&self, what: &str) -> Progress {
        let Some(bars) = self.bars.clone() else {
            return Progress { what: what.to_owned(), bars: None };
        };
        let bar = bars.add(ProgressBar::new(0));
        let template = "{prefix}  [{bar:30}] {pos}/{len} {msg}  {elapsed}";
        bar.set_style(
            ProgressStyle::with_template(template)
                .expect("the template is constant and valid")
                .progress_chars("=> "),
        );
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { what: what.to_owned(), bars: Some((bars, bar)) }
    }
}

/// Progress of one piece of work on standard error.
pub struct Progress {
    what: String,
    bars: Option<(MultiProgress, ProgressBar)>,
}

impl Progress {
    /// How many steps it will be.
    pub fn expect(&self, steps: usize) {
        if let Some((_, bar)) = &self.bars {
            bar.set_length(steps as u64);
        }
    }

    /// Something worth a line: what takes time now.
    pub fn say(&self, text: &str) {
        match &self.bars {
            Some((_, bar)) => bar.set_message(text.to_owned()),
            None => eprintln!("drbench: {}: {text}", self.what),
        }
    }

    /// Something the user must see, above the bars.
    pub fn warn(&self, text: &str) {
        let tell = || eprintln!("drbench: {}: {text}", self.what);
        match &self.bars {
            Some((bars, _)) => bars.suspend(tell),
            None => tell(),
        }
    }

    /// One step further.
    pub fn step(&self) {
        if let Some((_, bar)) = &self.bars {
            bar.set_message(String::new());
            bar.inc(1);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((_, bar)) = &self.bars {
            bar.finish_and_clear();
        }
    }
}
