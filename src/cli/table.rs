//! Tables on standard output.

use comfy_table::{ContentArrangement, Table, presets};

use super::printer::{Printer, printable};
use crate::{
    journey::event::PlannedRecord,
    language::{message, say},
};

/// A table with these headings, in the language of the process.
pub(super) fn new(headings: &[&'static str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings.iter().map(|heading| say(heading)));
    table
}

/// Shows a table, without blanks at line ends.
pub(super) fn show(printer: &Printer, table: &Table) {
    for line in table.to_string().lines() {
        printer.result(line.trim_end());
    }
}

/// Records that would be written, or are needed; as JSON lines where that was asked for.
pub(super) fn records(printer: &Printer, records: &[&PlannedRecord]) {
    if printer.is_json() {
        for planned in records {
            printer.json(&super::report::json::planned(planned));
        }
        return;
    }
    let mut table = new(&[
        message!("ORDER"),
        message!("NAME"),
        message!("TYPE"),
        message!("VALUE"),
        message!("WRITTEN BY"),
        message!("REMARK"),
    ]);
    for planned in records {
        table.add_row([
            planned.order.to_string(),
            printable(planned.record.title().split_once(' ').map_or("", |(_, place)| place)),
            planned.record.record_type.to_string(),
            printable(planned.record.content()),
            planned.provider.clone().unwrap_or_else(|| "-".to_owned()),
            planned.obstacle.as_deref().map(printable).unwrap_or_default(),
        ]);
    }
    show(printer, &table);
}
