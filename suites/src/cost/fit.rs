//! Least squares.

use std::collections::BTreeSet;

use nalgebra::{DMatrix, DVector};

use super::Parameter;

/// A section: what it took, what of that is known, and how often it paid for what.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The cell's name.
    pub name: String,
    /// Ticks.
    pub total: u64,
    /// Those of them that need no model.
    pub known: u64,
    /// The rest's factors.
    pub counts: Vec<(Parameter, u64)>,
}

/// What one thing costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// What.
    pub parameter: Parameter,
    /// Ticks each time.
    pub value: f64,
    /// Cells of the fitted half that pay it.
    pub cells: usize,
}

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// In the order of [`Parameter`].
    pub prices: Vec<Price>,
}

/// Singular values below this share of the largest are none: two parameters always come together.
const RANK: f64 = 1e-9;

// Counts and ticks of a section are far below 2^52.
#[allow(clippy::cast_precision_loss)]
impl Fit {
    /// The prices with the least squared error. Each cell counts by its relative error: of a section
    /// of a thousand ticks and one of a million, neither decides alone.
    ///
    /// # Errors
    /// In words, if these cells cannot tell the parameters apart.
    pub fn of(cells: &[Observation]) -> Result<Self, String> {
        let parameters: Vec<Parameter> = cells
            .iter()
            .flat_map(|cell| cell.counts.iter().map(|(parameter, _)| *parameter))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        if parameters.is_empty() || cells.len() < parameters.len() {
            let (cells, parameters) = (cells.len(), parameters.len());
            return Err(format!("{cells} cells are too few to fit {parameters} parameters"));
        }
        let weight = |cell: &Observation| 1.0 / cell.total.max(1) as f64;
        let factors = DMatrix::from_fn(cells.len(), parameters.len(), |row, column| {
            let cell = &cells[row];
            let count = cell.counts.iter().find(|(paid, _)| *paid == parameters[column]);
            count.map_or(0.0, |(_, count)| *count as f64) * weight(cell)
        });
        let ticks = DVector::from_fn(cells.len(), |row, _| {
            let cell = &cells[row];
            (cell.total as f64 - cell.known as f64) * weight(cell)
        });
        // Columns of equal length: prices differ by three orders of magnitude.
        let lengths: Vec<f64> = factors.column_iter().map(|column| column.norm()).collect();
        let scaled = DMatrix::from_fn(factors.nrows(), factors.ncols(), |row, column| {
            factors[(row, column)] / lengths[column]
        });
        let svd = scaled.svd(true, true);
        if svd.rank(RANK * svd.singular_values.max()) < parameters.len() {
            return Err("these cells cannot tell the parameters apart".to_owned());
        }
        let solved = svd.solve(&ticks, 0.0).map_err(str::to_owned)?;
        let price = |(column, parameter): (usize, &Parameter)| Price {
            parameter: *parameter,
            value: solved[column] / lengths[column],
            cells: cells
                .iter()
                .filter(|cell| cell.counts.iter().any(|(paid, _)| paid == parameter))
                .count(),
        };
        Ok(Self { prices: parameters.iter().enumerate().map(price).collect() })
    }

    /// What a section should take.
    pub fn predict(&self, cell: &Observation) -> f64 {
        let price = |parameter| {
            let found = self.prices.iter().find(|price| price.parameter == parameter);
            found.map_or(0.0, |price| price.value)
        };
        let paid = cell.counts.iter().map(|(parameter, count)| price(*parameter) * *count as f64);
        cell.known as f64 + paid.sum::<f64>()
    }

    /// The largest relative error, and where.
    pub fn worst<'a>(&self, cells: &'a [Observation]) -> Option<(f64, &'a str)> {
        let error = |cell: &Observation| {
            let total = cell.total as f64;
            (self.predict(cell) - total).abs() / total.max(1.0)
        };
        cells
            .iter()
            .map(|cell| (error(cell), cell.name.as_str()))
            .max_by(|one, other| one.0.total_cmp(&other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest_payloads::InterposedKind;
    use proptest::prelude::*;

    const CPUID: Parameter = Parameter::Exit(InterposedKind::Cpuid);

    fn cell(counts: &[(Parameter, u64)], prices: [u64; 2]) -> Observation {
        let price = |parameter| if parameter == CPUID { prices[0] } else { prices[1] };
        let paid: u64 = counts.iter().map(|(parameter, count)| price(*parameter) * count).sum();
        Observation {
            name: format!("{counts:?}"),
            total: 14 + paid,
            known: 14,
            counts: counts.to_vec(),
        }
    }

    proptest! {
        #[test]
        #[allow(clippy::cast_precision_loss)]
        fn prices_are_found_where_nothing_is_noise(cpuid in 1u64..100_000, sync in 0u64..1000) {
            let cells: Vec<_> = (1..6)
                .map(|n| cell(&[(CPUID, n), (Parameter::DirtySync, n * n)], [cpuid, sync]))
                .collect();
            let fit = Fit::of(&cells).unwrap();
            for (price, truth) in fit.prices.iter().zip([cpuid, sync]) {
                prop_assert!((price.value - truth as f64).abs() < 1e-3, "{price:?} is {truth}");
                prop_assert_eq!(price.cells, 5);
            }
            prop_assert!(fit.worst(&cells).unwrap().0 < 1e-6);
        }
    }

    #[test]
    fn what_always_comes_together_has_no_price_of_its_own() {
        let cells: Vec<_> =
            (1..6).map(|n| cell(&[(CPUID, n), (Parameter::DirtySync, n)], [700, 100])).collect();
        assert!(Fit::of(&cells).unwrap_err().contains("apart"));
        assert!(Fit::of(&cells[..1]).unwrap_err().contains("too few"));
        assert!(Fit::of(&[]).is_err());
    }

    #[test]
    fn a_cell_that_does_something_else_stands_out() {
        let mut cells: Vec<_> = (1..6).map(|n| cell(&[(CPUID, n)], [700, 0])).collect();
        let fit = Fit::of(&cells).unwrap();
        cells[3].total += 100;
        let (worst, at) = fit.worst(&cells).unwrap();
        assert!(worst > 0.03 && at == cells[3].name);
    }
}
