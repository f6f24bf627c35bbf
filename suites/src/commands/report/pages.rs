//! `drbench report --html DIR`: pages for a browser.

use std::path::Path;

use reports::kept::Gathered;

use crate::cost;
use crate::status::Failure;
use crate::terminal::outln;

/// Writes the pages, and says where the first one is.
pub fn write(gathered: &Gathered, dir: &Path) -> Result<(), Failure> {
    let Gathered { runs, left_out } = gathered;
    let written = ::pages::write(runs, left_out, dir, &cost::meaning);
    let written = written.map_err(Failure::environment)?;
    let runs = if written.runs == 1 { "run" } else { "runs" };
    outln!("{} pages of {} {runs}", written.pages, written.runs);
    outln!("pages: {}", dir.join("index.html").display());
    Ok(())
}
