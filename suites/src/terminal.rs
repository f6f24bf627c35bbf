//! What is told while something runs: a bar on a terminal, plain lines elsewhere.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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

/// Progress on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For a piece of work with so many steps.
    pub fn new(what: &str, steps: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            eprintln!("drbench: {what}");
            return Self { bar: None };
        }
        let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
        let template = "{prefix}  [{bar:30}] {pos}/{len} {msg}  {elapsed}";
        bar.set_style(
            ProgressStyle::with_template(template)
                .expect("the template is constant and valid")
                .progress_chars("=> "),
        );
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar: Some(bar) }
    }

    /// Something worth a line: what takes time now.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => eprintln!("drbench: {text}"),
        }
    }

    /// Something the user must see, above the bar.
    pub fn warn(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("drbench: {text}")),
            None => eprintln!("drbench: {text}"),
        }
    }

    /// One step further.
    pub fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message(String::new());
            bar.inc(1);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
