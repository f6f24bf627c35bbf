//! The run's kernels: each is made ready once, by whoever needs it first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use drbench_lab::kernel::{self, Kernel, KernelSpec};

use crate::lab;
use crate::status::{Failure, Status};
use crate::terminal::Progress;

/// Kernels by the user's words; or why there is none.
#[derive(Default)]
pub struct Kernels(Mutex<HashMap<String, Prepared>>);

type Prepared = Result<Arc<Kernel>, (Status, String)>;

impl Kernels {
    /// The kernel of this name. One is prepared at a time: kernels share packages and sources, and a
    /// build keeps all cores busy by itself.
    pub fn get(&self, name: &str, progress: &Progress) -> Result<Arc<Kernel>, Failure> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = known.entry(name.to_owned()).or_insert_with(|| {
            prepare(name, progress)
                .map(Arc::new)
                .map_err(|failure| (failure.status, failure.to_string()))
        });
        prepared.clone().map_err(|(status, text)| Failure { status, error: anyhow::anyhow!(text) })
    }
}

fn prepare(name: &str, progress: &Progress) -> Result<Kernel, Failure> {
    let spec: KernelSpec = name.parse().map_err(Failure::environment)?;
    kernel::prepare(&spec, &lab::cache()?, &|text| progress.say(text)).map_err(Failure::of_lab)
}
