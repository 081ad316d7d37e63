//! How much a query may do.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use jaq_json::Val;

use crate::language::t;

/// How many steps a query may take.
const STEPS: u32 = 1_000_000;
/// How long a query may run.
const TIME: Duration = Duration::from_secs(3);
/// How many values one value may consist of.
const NODES: usize = 1_000_000;
/// How many bytes of text one value may hold: twice the largest reply.
const BYTES: usize = 16 * 1024 * 1024;

/// What is left for one run.
#[derive(Debug)]
pub(in crate::provider::manifest) struct Budget {
    steps: Cell<u32>,
    end: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: Cell::new(STEPS), end: Instant::now() + TIME }
    }
}

impl Budget {
    /// Takes one step. Once the budget is used up, every step fails, so that `?` cannot go on.
    pub(super) fn step(&self) -> Result<(), &'static str> {
        let left = self.steps.get();
        if left == 0 {
            return Err(t!("the query takes too many steps"));
        }
        self.steps.set(left - 1);
        // The clock is asked every 64 steps only.
        if left.is_multiple_of(64) && Instant::now() > self.end {
            self.steps.set(0);
            return Err(t!("the query takes too long"));
        }
        Ok(())
    }

    /// Takes one step, and refuses a value that is too large. A value that refers to one part many times counts that part as
    /// often, since it would be written out as often.
    pub(super) fn weigh(&self, value: &Val) -> Result<(), &'static str> {
        self.step()?;
        let (mut nodes, mut bytes) = (NODES, BYTES);
        if count(value, &mut nodes, &mut bytes) {
            Ok(())
        } else {
            self.steps.set(0);
            Err(t!("the query builds too large a value"))
        }
    }
}

/// Takes the size of `value` off both; whether it fits.
fn count(value: &Val, nodes: &mut usize, bytes: &mut usize) -> bool {
    let Some(left) = nodes.checked_sub(1) else { return false };
    *nodes = left;
    match value {
        Val::TStr(text) | Val::BStr(text) => match bytes.checked_sub(text.len()) {
            Some(left) => {
                *bytes = left;
                true
            }
            None => false,
        },
        Val::Arr(all) => all.iter().all(|inner| count(inner, nodes, bytes)),
        Val::Obj(all) => all.iter().all(|(key, inner)| count(key, nodes, bytes) && count(inner, nodes, bytes)),
        Val::Null | Val::Bool(_) | Val::Num(_) => true,
    }
}
