//! Live progress on a terminal: one line per order, one cell per address of a name server.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::{
    cli::printer::printable,
    journey::event::Event,
    language::{say, t},
    mutex::locked,
    order::OrderId,
    propagation::{Round, Verdict},
    record::Record,
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
    /// The last look at each record of the order.
    cells: Vec<(Record, String)>,
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
                self.update(order, |line| line.look(round));
            }
            Event::Waiting { order, reason, .. } => {
                self.update(order, |line| line.state = t!("waiting %{reason}%{since}", reason = say(reason), since = ""));
            }
            Event::Done { order, .. } | Event::Failed { order: Some(order), .. } => self.end(order),
            _ => {}
        }
    }

    fn update(&self, order: &OrderId, change: impl FnOnce(&mut Line)) {
        let mut lines = locked(&self.lines);
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
            lines.insert(order.clone(), Line { bar, state: String::new(), cells: Vec::new() });
        }
        if let Some(line) = lines.get_mut(order) {
            change(line);
            line.bar.set_message(line.text());
        }
    }

    fn end(&self, order: &OrderId) {
        let line = locked(&self.lines).remove(order);
        if let Some(line) = line {
            line.bar.finish_and_clear();
            self.bars.remove(&line.bar);
        }
    }
}

impl Line {
    fn look(&mut self, round: &Round) {
        let cells = cells(round);
        match self.cells.iter_mut().find(|(record, _)| *record == round.record) {
            Some((_, known)) => *known = cells,
            None => self.cells.push((round.record.clone(), cells)),
        }
    }

    fn text(&self) -> String {
        let cells = self.cells.iter().map(|(_, cells)| cells.as_str()).collect::<Vec<_>>().join(" ");
        format!("{cells} {}", printable(&self.state)).trim().to_owned()
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

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;
    use crate::{
        name::Name,
        propagation::{Authority, Observation},
        record::RecordType,
    };

    fn round(value: &str, verdicts: Vec<Verdict>) -> Round {
        let name = Name::parse("_dnsauth.example.com").unwrap();
        let observation = |verdict| Observation {
            authority: Authority { server: "ns1.example.com".into(), address: "192.0.2.1:53".parse().unwrap() },
            verdict,
            round_trip: None,
            out: false,
        };
        Round {
            zone: Name::parse("example.com").unwrap(),
            record: Record { name, record_type: RecordType::Txt, value: value.into() },
            observations: verdicts.into_iter().map(observation).collect(),
            visible: false,
            waited: Duration::ZERO,
            explanation: None,
            network: None,
        }
    }

    #[test]
    fn every_record_of_an_order_has_its_own_cells() {
        let live = Live::new(Arc::new(MultiProgress::with_draw_target(ProgressDrawTarget::hidden())));
        let id = OrderId::parse("cas-cn-1").unwrap();
        let text = || live.lines.lock().unwrap().get(&id).map(Line::text);
        live.event(&Event::Order { order: &id, domains: &[], state: "checking", note: None });
        assert_eq!(text().unwrap(), "checking");
        let apex = round("one", vec![Verdict::Visible, Verdict::NxDomain, Verdict::Refused]);
        let wildcard = round("two", vec![Verdict::Missing; 3]);
        for look in [&apex, &wildcard, &apex] {
            live.event(&Event::Verdicts { order: Some(&id), round: look });
        }
        assert_eq!(text().unwrap(), "[✓…✗] [………] checking");
        let error = crate::error::Error::usage("x");
        live.event(&Event::Failed { order: Some(&id), error: &error });
        assert_eq!(text(), None);
    }
}
