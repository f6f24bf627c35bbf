//! Pictures: what one DR exit costs, by kernel version.

mod draw;

pub use draw::text;

use crate::figures::{Figures, Gap, figures, lacks_decode_assists};
use crate::record::{Record, Target, Unit};
use crate::table::printable;
use crate::version::compare_versions;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// Nothing to draw.
    #[error(
        "no stock kernel among the results has a cost of a DR exit in instructions{}: it comes from \
         the policy suite run in the lab, for example drbench run --kernel debian:6.1 --cpu amd",
        .why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
    )]
    NoFigures {
        /// What is wrong with a row it would come from.
        why: Option<String>,
    },
    /// The drawing library refused.
    #[error("the chart cannot be drawn: {0}; this is a mistake in drbench, please report it")]
    Draw(String),
}

/// What one DR exit costs, in instructions, by kernel version: an SVG, with a line for each vendor
/// and machine.
///
/// The figure is the one of [`summary_table`](crate::summary_table), of the kernels as their
/// packages have them (variant `stock`) that ran in the lab. A kernel without it on one of the
/// targets leaves a gap in that target's line. Colours are of middle lightness on no background:
/// they are legible on white and on black pages.
///
/// # Errors
/// If no row gives such a figure.
pub fn cost_chart(records: &[Record]) -> Result<String, ChartError> {
    let figures = figures(records);
    draw::svg(&Data::of(&figures)?)
}

/// What is drawn.
struct Data<'a> {
    /// The kernels in their order, as the axis names them.
    kernels: Vec<String>,
    series: Vec<Series<'a>>,
}

/// The figures of one target.
struct Series<'a> {
    target: &'a Target,
    /// Whether others have this vendor and machine too, so that the CPU model must be told.
    needs_model: bool,
    /// One for each kernel.
    costs: Vec<Option<f64>>,
}

impl<'a> Data<'a> {
    fn of(figures: &[Figures<'a>]) -> Result<Self, ChartError> {
        let stock = |row: &&Figures<'a>| row.is_stock() && row.unit == Unit::Instructions;
        let stock: Vec<_> = figures.iter().filter(stock).collect();
        let drawn: Vec<_> =
            stock.iter().filter_map(|row| Some((*row, row.cost_of_dr_exit.ok()?.value))).collect();
        if drawn.is_empty() {
            return Err(ChartError::NoFigures { why: stock.iter().find_map(|row| why(row)) });
        }
        let mut kernels: Vec<_> = drawn.iter().map(|(row, _)| id(row)).collect();
        kernels.sort_unstable_by(|a, b| {
            compare_versions(a.0, b.0).then_with(|| compare_versions(a.1, b.1))
        });
        kernels.dedup();
        let mut targets: Vec<_> = drawn.iter().map(|(row, _)| row.target).collect();
        targets.sort_unstable();
        targets.dedup();
        let kind = |target: &Target| (target.vendor, target.machine);
        let series = |target: &&'a Target| Series {
            target,
            needs_model: targets.iter().filter(|other| kind(other) == kind(target)).count() > 1,
            costs: kernels
                .iter()
                .map(|kernel| {
                    let is_it = |(row, _): &&(&Figures<'a>, f64)| {
                        row.target == *target && id(row) == *kernel
                    };
                    drawn.iter().find(is_it).map(|(_, cost)| *cost)
                })
                .collect(),
        };
        Ok(Self { series: targets.iter().map(series).collect(), kernels: labels(&kernels) })
    }

    fn highest(&self) -> f64 {
        let costs = self.series.iter().flat_map(|series| series.costs.iter().flatten());
        costs.fold(0.0, |highest, cost| highest.max(*cost))
    }

    /// Whether a line runs so close under another that figures above it would meet that one.
    fn is_squeezed(&self, series: &Series<'_>) -> bool {
        const ROOM: f64 = 0.12; // of the scale
        let peak = |series: &Series<'_>| {
            series.costs.iter().flatten().fold(0.0_f64, |highest, cost| highest.max(*cost))
        };
        self.series.iter().any(|other| {
            let distance = peak(other) - peak(series);
            other.target != series.target && (0.0..ROOM * self.highest()).contains(&distance)
        })
    }

    /// What the figures are, where they could be taken for something else.
    fn notes(&self) -> String {
        let mut notes = "Instructions, not cycles; host kernel and guest together.".to_owned();
        if self.series.iter().any(|series| lacks_decode_assists(series.target)) {
            notes.push_str(" AMD: without decode assists, through the instruction emulator.");
        }
        notes
    }
}

impl Series<'_> {
    /// The lines of its label.
    fn name(&self) -> Vec<String> {
        let Target { vendor, machine, cpu_model } = self.target;
        let mut lines = vec![vendor.to_string(), format!("on {machine}")];
        if self.needs_model {
            lines.push(printable(cpu_model));
        }
        lines
    }
}

fn id<'a>(row: &Figures<'a>) -> (&'a str, &'a str) {
    (&row.subject.kernel, &row.subject.kernel_id)
}

fn why(row: &Figures<'_>) -> Option<String> {
    match row.cost_of_dr_exit {
        Err(Gap::Row(record)) => Some(format!("{}: {}", record.status, record.reason)),
        Err(Gap::Nothing) | Ok(_) => None,
    }
}

/// A kernel's version; its package's where several have that version.
fn labels(kernels: &[(&str, &str)]) -> Vec<String> {
    let label = |(kernel, id): &(&str, &str)| {
        let alone = kernels.iter().filter(|(other, _)| other == kernel).count() == 1;
        printable(if alone { kernel } else { id })
    };
    kernels.iter().map(label).collect()
}
