//! How a message reads: a title, a sentence, figures, short lists. What every channel shows is made of these.

use super::message::{Detail, Digest, Message, News, OpenLine, PipelineLine};
use super::report::{SampleKey, TableReport, Verdict};
use super::state::{Severity, State};

/// A list with a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// What it lists.
    pub head: &'static str,
    /// Its items, one line each.
    pub items: Vec<String>,
    /// Further items that are not told.
    pub more: u64,
}

/// A message in words. Texts are plain: a channel escapes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// One line that says it all.
    pub title: String,
    /// A sentence on what was before, and what to think of it; may be empty.
    pub lead: String,
    /// Figures with their names, at most 10; none is empty.
    pub facts: Vec<(&'static str, String)>,
    /// Lists; none is empty.
    pub lists: Vec<List>,
    /// What happened next, or what to run; may be empty.
    pub next: String,
    /// Small print.
    pub notes: Vec<String>,
}

/// The words of a message.
pub fn words(message: &Message) -> Words {
    let title = title(message);
    let mut words = Words {
        title,
        lead: lead(&message.news),
        ..Words::default()
    };
    match &message.detail {
        Detail::Table(report) => table(&mut words, report),
        Detail::Lag(found) => {
            words.facts.push(("Lag", duration(found.lag_ms)));
            words.facts.push(("Told from", duration(found.bound_ms)));
            let changes = found.changes.map(|changes| ("Behind", records(changes)));
            words.facts.extend(changes);
            words.next = "keylane status".to_owned();
        }
        Detail::Slot(found) => {
            words.facts.push(("Kept", bytes(found.retained_bytes)));
            words.facts.push(("Room", bytes(found.room_bytes)));
            let rate = format!("{}/s", bytes(found.grows_bytes_per_s));
            words.facts.push(("Grows by", rate));
            let left = found.full_in_ms.map(|ms| ("Full in", duration(ms)));
            words.facts.extend(left);
            words.next =
                "keylane status; the origin keeps what is not published: see what holds capture up"
                    .to_owned();
        }
        Detail::Parked(found) => {
            words.facts.push(("Parked keys", count(found.keys)));
            if found.keys > 0 {
                words.next = "keylane parked list".to_owned();
            }
        }
        Detail::Road(found) => {
            words.facts.push(("State", or_dash(&found.state)));
            if !found.why.is_empty() {
                words.facts.push(("Why", found.why.clone()));
            }
            words.next = "keylane status".to_owned();
        }
        Detail::Sagas(sagas) => {
            words.facts.push(("Stuck sagas", count(sagas.sagas)));
            if sagas.sagas > 0 {
                let of = sagas.definitions.iter();
                let items = of.map(|(name, sagas)| format!("{name}: {}", count(*sagas)));
                words.lists.push(List {
                    head: "Of",
                    items: items.collect(),
                    more: 0,
                });
                words.next = "keylane saga list --state stuck".to_owned();
            }
        }
        Detail::Digest(digest) => day(&mut words, digest),
        Detail::Folded(folded) => {
            words.facts.push(("Messages", count(folded.messages)));
            words.next = "keylane notify outbox; the next digest says how everything is".to_owned();
        }
        Detail::Test => {}
    }
    words
}

/// The word that stands before a title.
pub fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "OK",
        Severity::Notice => "NOTICE",
        Severity::Warning => "WARNING",
        Severity::Critical => "CRITICAL",
    }
}

fn title(message: &Message) -> String {
    let subject = message.subject.as_ref();
    let pipeline = subject.and_then(|subject| subject.pipeline.as_deref());
    let (state, often) = match message.news {
        News::Changed { to, .. } => (to, ""),
        News::Flapping { state, .. } => (state, "changes often, now: "),
        News::Settled { state, .. } => (state, "rests again: "),
        News::Digest => return "Keylane: the day's digest".to_owned(),
        News::Folded => return format!("Keylane: {}", found(&message.detail)),
        News::Test => return "Keylane: a test of this channel".to_owned(),
    };
    let what = match (&message.detail, state) {
        (Detail::Table(report), _) => {
            format!("{}: {often}{}", report.table, of_table(report, state))
        }
        (_, State::Ok) => format!("{often}{}", well(&message.detail)),
        (detail, _) => format!("{often}{}", found(detail)),
    };
    match pipeline {
        Some(pipeline) => format!("{pipeline}: {what}"),
        None => what,
    }
}

fn lead(news: &News) -> String {
    match news {
        News::Changed {
            from,
            lasted_ms,
            runs,
            ..
        } => {
            let was = format!("was {}", spoken(*from));
            let long = match lasted_ms {
                0 => String::new(),
                ms => format!(" for {}", duration(*ms)),
            };
            let often = match runs {
                0 | 1 => String::new(),
                runs => format!(", {runs} runs"),
            };
            format!("{was}{long}{often}")
        }
        News::Flapping {
            changes, within_ms, ..
        } => format!(
            "changed {changes} times within {}: further changes are counted, and told once it has rested for {}",
            duration(*within_ms),
            duration(super::FLAP_WINDOW_US.unsigned_abs() / 1000)
        ),
        News::Settled { changes, .. } => {
            format!("changed {changes} more times in between")
        }
        News::Digest => String::new(),
        News::Folded => "This channel took no message for too long, or there were too many: the oldest were folded into this one.".to_owned(),
        News::Test => "Somebody ran 'keylane notify test'. Nothing is wrong.".to_owned(),
    }
}

/// A state in a sentence.
pub fn spoken(state: State) -> &'static str {
    match state {
        State::RepairFailed => "not repaired",
        other => other.word(),
    }
}

/// What was found, in words.
pub fn found(detail: &Detail) -> String {
    match detail {
        Detail::Table(report) => of_table(report, report.state().unwrap_or(State::Ok)),
        Detail::Lag(found) => format!("the replica is {} behind", duration(found.lag_ms)),
        Detail::Slot(found) => match found.full_in_ms {
            Some(0) => "the origin has no room left for what it keeps".to_owned(),
            Some(ms) => format!("the origin has no room left in {}", duration(ms)),
            None => format!("the origin keeps {}", bytes(found.retained_bytes)),
        },
        Detail::Parked(found) => match found.keys {
            1 => "1 key is parked".to_owned(),
            keys => format!("{} keys are parked", count(keys)),
        },
        Detail::Road(found) => {
            let half = found.half.word();
            match found.why.as_str() {
                "" => format!("{half} does not go on: {}", or_dash(&found.state)),
                why => format!("{half} does not go on: {why}"),
            }
        }
        Detail::Sagas(found) => match found.sagas {
            1 => "1 saga needs help".to_owned(),
            sagas => format!("{} sagas need help", count(sagas)),
        },
        Detail::Digest(digest) => format!("{} subjects are not well", digest.open.len()),
        Detail::Folded(folded) => match folded.messages {
            1 => "1 message was folded".to_owned(),
            messages => format!("{} messages were folded", count(messages)),
        },
        Detail::Test => "a test".to_owned(),
    }
}

fn well(detail: &Detail) -> String {
    match detail {
        Detail::Table(report) => of_table(report, State::Ok),
        Detail::Lag(found) => format!("the lag is below {} again", duration(found.bound_ms)),
        Detail::Slot(_) => "the origin has room again".to_owned(),
        Detail::Parked(found) if found.keys == 0 => "no key is parked any more".to_owned(),
        Detail::Parked(found) => format!("{} keys are parked, fewer than are told", found.keys),
        Detail::Road(found) => format!("{} goes on again", found.half.word()),
        Detail::Sagas(found) if found.sagas == 0 => "no saga needs help any more".to_owned(),
        Detail::Sagas(found) => format!("{} sagas need help, fewer than are told", found.sagas),
        Detail::Digest(_) | Detail::Folded(_) | Detail::Test => String::new(),
    }
}

fn of_table(report: &TableReport, state: State) -> String {
    let (found, repaired) = (report.found().max(report.repaired), report.repaired);
    let mended = match (repaired, report.repair_failed) {
        (0, 0) => String::new(),
        (done, 0) => format!(", {} repaired", count(done)),
        (done, failed) => format!(", {} repaired, {} could not be", count(done), count(failed)),
    };
    match state {
        State::Ok => "equal".to_owned(),
        State::Stalled => "not compared: the road does not come through".to_owned(),
        State::Failed => "the comparison failed".to_owned(),
        _ => format!("{} diverged{mended}", rows(found)),
    }
}

fn table(words: &mut Words, report: &TableReport) {
    let compared = report.verdict != Verdict::Failed;
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    if compared {
        facts.push((
            "Missing / extra / different",
            format!(
                "{} / {} / {}",
                count(report.missing),
                count(report.extra),
                count(report.different)
            ),
        ));
        let both = format!(
            "{} / {}",
            count(report.rows_origin),
            count(report.rows_replica)
        );
        facts.push(("Rows at origin / replica", both));
    }
    if report.repaired > 0 || report.repair_failed > 0 {
        let both = format!(
            "{} / {}",
            count(report.repaired),
            count(report.repair_failed)
        );
        facts.push(("Repaired / failed", both));
    }
    if report.hot > 0 {
        facts.push(("Too hot to prove", count(report.hot)));
    }
    facts.push(("Took", duration(report.took_ms)));
    if !report.position.is_empty() {
        facts.push(("At", report.position.clone()));
    }
    if !report.lossy.is_empty() {
        facts.push(("Not held exactly", report.lossy.join(", ")));
    }
    words.facts = facts;
    let columns = report.columns.iter().take(3);
    let items: Vec<String> = columns
        .map(|(name, many)| format!("{name}: {}", rows(*many)))
        .collect();
    let more = report.columns.len().saturating_sub(items.len()) as u64;
    words.push_list("Columns that differ most", items, more);
    let items: Vec<String> = report.keys.iter().map(sample).collect();
    let more = report.found().saturating_sub(items.len() as u64);
    words.push_list("Keys", items, more);
    words.next.clone_from(&report.next);
    words.notes.push(format!("run {}", report.run));
}

fn sample(sample: &SampleKey) -> String {
    let values = sample.values.iter().map(|pair| {
        format!(
            "{}: {} at the origin, {} at the replica",
            pair.column, pair.origin, pair.replica
        )
    });
    let values: Vec<String> = values.collect();
    match values.is_empty() {
        true => sample.key.clone(),
        false => format!("{} ({})", sample.key, values.join("; ")),
    }
}

fn day(words: &mut Words, digest: &Digest) {
    let not_well = digest.open.len() as u64 + digest.open_more;
    words.lead = match not_well {
        0 => "All is well.".to_owned(),
        1 => "1 thing is not well.".to_owned(),
        many => format!("{} things are not well.", count(many)),
    };
    words.facts = vec![
        ("Tables compared", count(digest.tables)),
        ("Comparisons", count(digest.day.runs)),
        ("Rows that differed", count(digest.day.found)),
        ("Rows repaired", count(digest.day.repaired)),
        ("Changes of state", count(digest.day.changes)),
    ];
    if digest.day.unproved > 0 {
        words
            .facts
            .push(("Proved nothing", count(digest.day.unproved)));
    }
    if digest.day.below > 0 {
        words
            .facts
            .push(("Too few to tell", count(digest.day.below)));
    }
    let items: Vec<String> = digest
        .open
        .iter()
        .map(|line| open(line, digest.to_us))
        .collect();
    words.push_list("Not well", items, digest.open_more);
    let items: Vec<String> = digest.pipelines.iter().map(pipeline).collect();
    words.push_list("Pipelines", items, 0);
}

fn open(line: &OpenLine, now_us: i64) -> String {
    let since_ms = u64::try_from((now_us - line.since_us) / 1000).unwrap_or(0);
    let subject = &line.subject;
    let mut text = format!(
        "{subject}: still {} for {}",
        spoken(line.state),
        duration(since_ms)
    );
    if line.runs > 1 && line.subject.what.table().is_some() {
        text.push_str(&format!(", {} run", ordinal(line.runs)));
    }
    if !line.words.is_empty() {
        text.push_str(&format!(": {}", line.words));
    }
    text
}

fn pipeline(line: &PipelineLine) -> String {
    let mut text = format!("{}: {}", line.name, line.state);
    if let Some(ms) = line.lag_ms.filter(|ms| *ms > 0) {
        text.push_str(&format!(", {} behind", duration(ms)));
    }
    if let Some(keys) = line.parked.filter(|keys| *keys > 0) {
        text.push_str(&format!(", {} parked", count(keys)));
    }
    if !line.why.is_empty() {
        text.push_str(&format!(" ({})", line.why));
    }
    text
}

impl Words {
    fn push_list(&mut self, head: &'static str, items: Vec<String>, more: u64) {
        if !items.is_empty() {
            self.lists.push(List { head, items, more });
        }
    }

    /// The message as a person reads it on a terminal.
    pub fn plain(&self, severity: Severity) -> String {
        let mut text = format!("[{}] {}\n", label(severity), self.title);
        if !self.lead.is_empty() {
            text.push_str(&format!("  {}\n", self.lead));
        }
        for (name, value) in &self.facts {
            text.push_str(&format!("  {name}: {value}\n"));
        }
        for list in &self.lists {
            text.push_str(&format!("  {}:\n", list.head));
            for item in &list.items {
                text.push_str(&format!("    {item}\n"));
            }
            if list.more > 0 {
                text.push_str(&format!("    +{} more\n", count(list.more)));
            }
        }
        if !self.next.is_empty() {
            text.push_str(&format!("  → {}\n", self.next));
        }
        for note in &self.notes {
            text.push_str(&format!("  {note}\n"));
        }
        text
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

/// `1st`, `2nd`, `3rd`, `11th`.
fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn rows(number: u64) -> String {
    match number {
        1 => "1 row".to_owned(),
        number => format!("{} rows", count(number)),
    }
}

fn records(number: u64) -> String {
    match number {
        1 => "1 record".to_owned(),
        number => format!("{} records", count(number)),
    }
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in its two largest units.
pub fn duration(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    let two = |large: u64, unit: &str, small: u64, less: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {less}"),
    };
    match ms {
        0..=999 => format!("{ms} ms"),
        1_000..=9_999 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10_000..=59_999 => format!("{seconds} s"),
        60_000..=3_599_999 => two(minutes, "min", seconds % 60, "s"),
        3_600_000..=86_399_999 => two(hours, "h", minutes % 60, "min"),
        _ => two(hours / 24, "d", hours % 24, "h"),
    }
}

/// A size in its largest unit.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, bits) in UNITS {
        let one = 1_u64 << bits;
        if bytes >= one {
            return format!("{:.1} {unit}", bytes as f64 / one as f64);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
