//! Runs and rows as people read them.

use std::fmt::Write as _;

use keylane::sqlite::journal::Noted;
use keylane_core::model::Value;

use super::planned::Planned;
use super::view::{RunView, TableView};

/// Characters of a value that are shown at most.
const VALUE_CHARS_MAX: usize = 60;

/// A run as a table with a head line, the way of pt-table-checksum.
pub fn run_text(run: &RunView) -> String {
    const HEAD: [&str; 11] = [
        "TABLE",
        "VERDICT",
        "CHUNKS",
        "ROWS",
        "MISSING",
        "EXTRA",
        "DIFFERENT",
        "SETTLING",
        "HOT",
        "LOSSY",
        "TIME",
    ];
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(run.tables.iter().map(line));
    let mut widths = [0; 11];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 | 1 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let cells: Vec<String> = cells.collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    for table in &run.tables {
        notes(table, &mut text);
    }
    let differ = run.tables.iter().any(|table| table.verdict == "diverged");
    let _ = match differ {
        true => writeln!(
            text,
            "run {}: see the rows with `keylane reconcile show {} --rows`",
            run.run, run.run
        ),
        false => writeln!(text, "run {}", run.run),
    };
    text
}

fn line(table: &TableView) -> [String; 11] {
    let rows = match table.rows_origin == table.rows_replica {
        true => table.rows_origin.to_string(),
        false => format!("{}/{}", table.rows_origin, table.rows_replica),
    };
    [
        table.table.clone(),
        table.verdict.clone(),
        table.chunks.to_string(),
        rows,
        table.missing.to_string(),
        table.extra.to_string(),
        table.different.to_string(),
        table.settling.to_string(),
        table.hot.to_string(),
        table.lossy.to_string(),
        format!("{:.1} s", table.ms as f64 / 1e3),
    ]
}

fn notes(table: &TableView, text: &mut String) {
    let name = &table.table;
    if let Some(why) = &table.failed {
        let _ = writeln!(text, "{name}: {why}");
    }
    if table.rows_by_checksum > 0 {
        let _ = writeln!(
            text,
            "{name}: {} of {} rows compared by checksums in the databases",
            table.rows_by_checksum, table.rows_origin
        );
    }
    if !table.lossy_columns.is_empty() {
        let columns = table.lossy_columns.join(", ");
        let _ = writeln!(
            text,
            "{name}: the replica does not hold all of {columns}: no differences, but not the origin's values"
        );
    }
    if !table.columns.is_empty() {
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|(column, rows)| format!("{column} in {rows}"))
            .collect();
        let _ = writeln!(text, "{name}: columns that differ: {}", columns.join(", "));
    }
    if table.repaired > 0 {
        let _ = writeln!(
            text,
            "{name}: {} rows repaired and seen again",
            table.repaired
        );
    }
    if let Some(planned) = &table.would {
        planned_text(name, planned, text);
    }
    if table.parked > 0 {
        let _ = writeln!(
            text,
            "{name}: {} rows have parked changes; mend the cause and redrive them: `keylane parked list`",
            table.parked
        );
    }
    if let Some(why) = &table.not_repaired {
        let _ = writeln!(text, "{name}: not repaired: {why}");
    }
    if table.unproved > 0 {
        let _ = writeln!(
            text,
            "{name}: {} rows differed and could not be proved, because the road stood still or cannot be asked; see `keylane status`",
            table.unproved
        );
    }
    if table.hot > 0 {
        let _ = writeln!(
            text,
            "{name}: {} rows changed too fast to be proved; compare again when less is written",
            table.hot
        );
    }
}

/// What a repair would write.
fn planned_text(name: &str, planned: &Planned, text: &mut String) {
    let _ = writeln!(
        text,
        "{name}: a repair would write {} rows: {} inserted, {} updated, {} deleted",
        planned.total(),
        planned.insert,
        planned.update,
        planned.delete
    );
    for row in &planned.rows {
        let key = row.key.iter();
        let key: Vec<String> = key
            .map(|it| format!("{}={}", it.column, shown(Some(&it.values.1))))
            .collect();
        let set = row.set.iter();
        let set: Vec<String> = set
            .map(|it| {
                let to = shown(Some(&it.values.1));
                match &it.values.0 {
                    Some(from) => format!("{} from {} to {to}", it.column, shown(Some(from))),
                    None => format!("{}={to}", it.column),
                }
            })
            .collect();
        let colon = if set.is_empty() { "" } else { ": " };
        let (key, set) = (key.join(" "), set.join(", "));
        let _ = writeln!(text, "  {} {key}{colon}{set}", row.write);
    }
    let more = planned.total() - planned.rows.len() as u64;
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
}

/// Rows that differ, side by side, column by column.
pub fn rows_text(columns: &[String], key: usize, noted: &Noted) -> String {
    let key: Vec<String> = columns
        .iter()
        .take(key)
        .zip(&noted.key)
        .map(|(name, value)| format!("{name}={}", shown(Some(value))))
        .collect();
    let mut text = format!("{} {} {}", noted.table, key.join(" "), noted.kind);
    if !noted.repair.word().is_empty() {
        let _ = write!(text, " ({})", noted.repair.word());
    }
    let seen = |at_us: i64| {
        let since = std::time::Duration::from_micros(u64::try_from(at_us).unwrap_or(0));
        humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since)
    };
    let _ = writeln!(
        text,
        "\n  first seen {}, proved {}: {}",
        seen(noted.first_seen_us),
        seen(noted.proved_us),
        noted.proof
    );
    for (place, name) in columns.iter().enumerate() {
        let cell = |row: &Option<Vec<Value>>| row.as_ref().map(|row| shown(row.get(place)));
        let differs = noted.columns.iter().any(|it| it == name);
        match (cell(&noted.origin), cell(&noted.replica)) {
            (Some(origin), Some(replica)) if differs => {
                let _ = writeln!(
                    text,
                    "  {name}: {origin} at the origin, {replica} at the replica"
                );
            }
            (Some(origin), None) => {
                let _ = writeln!(text, "  {name}: {origin}, only at the origin");
            }
            (None, Some(replica)) => {
                let _ = writeln!(text, "  {name}: {replica}, only at the replica");
            }
            _ => {}
        }
    }
    text
}

fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Absent) => return "-".to_owned(),
        Some(Value::Null) => return "NULL".to_owned(),
        Some(Value::Text(text)) => format!("{text:?}"),
        Some(other) => other.as_sql_text().unwrap_or_default().into_owned(),
    };
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        None => text,
        Some((at, _)) => format!(
            "{}… ({} bytes)",
            text.get(..at).unwrap_or_default(),
            text.len()
        ),
    }
}
