//! Live progress on a terminal: one line per order, one cell per address of a name server.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::{
    journey::event::Event,
    order::OrderId,
    propagation::{Round, Verdict},
};

/// How many orders have a line at the same time: more would push everything else off the screen.
const LINES: usize = 12;

/// The lines of all orders that are under way.
pub(super) struct Live {
    bars: Arc<MultiProgress>,
    lines: Mutex<HashMap<OrderId, Line>>,
}

struct Line {
    bar: ProgressBar,
    state: String,
    cells: String,
}

impl Live {
    pub(super) fn new(bars: Arc<MultiProgress>) -> Self {
        Self { bars, lines: Mutex::default() }
    }

    /// Brings the line of the event's order up to date.
    pub(super) fn event(&self, event: &Event<'_>) {
        match event {
            Event::Order { order, state, .. } => self.update(order, |line| (*state).clone_into(&mut line.state)),
            Event::Verdicts { order: Some(order), round } | Event::Visible { order: Some(order), round, .. } => {
                self.update(order, |line| line.cells = cells(round));
            }
            Event::Waiting { order, reason, .. } => self.update(order, |line| line.state = format!("waiting {reason}")),
            Event::Done { order, .. } | Event::Failed { order: Some(order), .. } => self.end(order),
            _ => {}
        }
    }

    fn update(&self, order: &OrderId, change: impl FnOnce(&mut Line)) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.contains_key(order) {
            if lines.len() >= LINES {
                return;
            }
            let bar = self.bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {prefix}  {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(order.to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
            lines.insert(order.clone(), Line { bar, state: String::new(), cells: String::new() });
        }
        if let Some(line) = lines.get_mut(order) {
            change(line);
            line.bar.set_message(format!("{} {}", line.cells, line.state).trim().to_owned());
        }
    }

    fn end(&self, order: &OrderId) {
        let line = self.lines.lock().unwrap_or_else(PoisonError::into_inner).remove(order);
        if let Some(line) = line {
            line.bar.finish_and_clear();
            self.bars.remove(&line.bar);
        }
    }
}

/// One cell per address: shown, not yet, or no usable answer.
pub(super) fn cells(round: &Round) -> String {
    let mut cells = String::from("[");
    for observation in &round.observations {
        let cell = match &observation.verdict {
            Verdict::Visible => '✓',
            verdict if verdict.is_failure() => '✗',
            _ => '…',
        };
        let _ = write!(cells, "{cell}");
    }
    cells + "]"
}
