//! What a run tells the notifier: each table's verdict, its figures, and a few keys.

use std::time::Duration;

use keylane::sqlite::journal::{Journal, Noted};
use keylane_core::model::Value;
use keylane_core::notify::{
    COLUMNS_MAX, KEYS_MAX, SampleKey, TEXT_CHARS_MAX, TableReport, ValuePair, Verdict,
};
use tracing::warn;

use super::view::{RunView, TableView};
use crate::config::Config;
use crate::notify::Notifier;

/// What messages that wait are given to be sent when a run ends.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// Tells a pipeline's run. A notifier that cannot be used hides no run: it is logged.
pub async fn tell(config: &Config, journal: &Journal, run: &RunView) {
    let told = async {
        let Some(notifier) = Notifier::open(config).await? else {
            return Ok(());
        };
        let known = journal.known(&run.run).await.ok().flatten();
        let known = known.map(|known| known.tables).unwrap_or_default();
        let mut reports = Vec::new();
        for table in &run.tables {
            let of_table = known.iter().find(|it| it.name == table.table);
            let columns = of_table.map_or(&[][..], |it| &it.columns);
            reports.push(report(journal, run, table, columns).await);
        }
        notifier.tables(reports).await?;
        notifier.deliver(SEND_WITHIN).await
    };
    if let Err(failure) = told.await {
        warn!("run {} is not told: {failure}", run.run);
    }
}

async fn report(
    journal: &Journal,
    run: &RunView,
    table: &TableView,
    columns: &[String],
) -> TableReport {
    let verdict = match &*table.verdict {
        "equal" => Verdict::Equal,
        "diverged" => Verdict::Diverged,
        "hot" => Verdict::Hot,
        "unproved" => Verdict::Stalled,
        _ => Verdict::Failed,
    };
    let found = journal.findings(&run.run, &table.table, 0, KEYS_MAX).await;
    let found = found.unwrap_or_default();
    let pipeline = run.pipeline.as_deref();
    let next = match (&table.failed, &table.not_repaired) {
        (Some(why), _) | (None, Some(why)) => cut(why),
        (None, None) if table.verdict == "diverged" => {
            format!("keylane reconcile show {} --rows", run.run)
        }
        (None, None) => String::new(),
    };
    let position = found.first().map(|noted| cut(&noted.proof));
    TableReport {
        rows_origin: table.rows_origin,
        rows_replica: table.rows_replica,
        missing: table.missing,
        extra: table.extra,
        different: table.different,
        hot: table.hot,
        repaired: table.repaired + table.settled_by_itself,
        repair_failed: table.repair_failed,
        lossy: table.lossy_columns.clone(),
        columns: table.columns.iter().take(COLUMNS_MAX).cloned().collect(),
        keys: found.iter().map(|noted| sample(columns, noted)).collect(),
        took_ms: table.ms,
        position: position.unwrap_or_default(),
        next,
        ..TableReport::new(pipeline, &table.table, run.run.clone(), verdict)
    }
}

fn sample(columns: &[String], noted: &Noted) -> SampleKey {
    let named = columns.iter().zip(&noted.key);
    let key: Vec<String> = named
        .map(|(name, value)| format!("{name}={}", text(value)))
        .collect();
    let value = |row: &Option<Vec<Value>>, name: &str| {
        let place = columns.iter().position(|column| column == name);
        let row = row.as_ref();
        place
            .and_then(|place| row?.get(place))
            .map_or_else(|| "no row".to_owned(), text)
    };
    let values = noted.columns.iter().map(|name| ValuePair {
        column: name.clone(),
        origin: value(&noted.origin, name),
        replica: value(&noted.replica, name),
    });
    SampleKey {
        key: cut(&key.join(" ")),
        values: values.take(COLUMNS_MAX).collect(),
    }
}

fn text(value: &Value) -> String {
    let text = value.as_sql_text();
    text.map_or_else(|| "NULL".to_owned(), |text| cut(&text))
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
