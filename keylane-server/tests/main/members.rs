//! A road under load whose appliers are processes of their own, as many as a test wants.

use keylane_parts::wait_until;

use crate::bed::PATIENCE;
use crate::chaos::audit;
use crate::loaded::Loaded;
use crate::running::Running;

/// A member, and the folder of those that run elsewhere.
pub type Member = (Option<tempfile::TempDir>, Running);

/// Moves of the group in one run; more where somebody asks for more.
pub fn moves(default: usize) -> usize {
    let asked = std::env::var("KEYLANE_CHAOS_MOVES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Appliers of one pipeline; the first's folder is the road's own.
pub struct Group {
    pub loaded: Loaded,
    pub capture: Running,
    pub members: Vec<Member>,
}

impl Group {
    /// One member, under load.
    pub fn new(name: &'static str, group: &str) -> Group {
        Group::of(Loaded::with(name, 8, &in_group(group)))
    }

    /// As [`Group::new`], over a Kafka of the test's own, with these words for the configuration's `topics`.
    pub fn over(kafka: &str, name: &'static str, topics: &str, group: &str) -> Group {
        Group::of(Loaded::over(kafka, name, topics, &in_group(group)))
    }

    /// As [`Group::new`], into the replica of another road.
    pub fn beside(other: &Group, name: &'static str, group: &str) -> Group {
        Group::of(Loaded::beside(&other.loaded, name, 8, &in_group(group)))
    }

    fn of((loaded, capture, first): (Loaded, Running, Running)) -> Group {
        Group {
            loaded,
            capture,
            members: vec![(None, first)],
        }
    }

    pub fn join(&mut self) {
        let (folder, member) = self.loaded.elsewhere("apply");
        self.members.push((Some(folder), member));
    }

    /// Waits for a condition; a failure shows what every member has to say.
    pub fn wait(&self, awaited: &str, mut holds: impl FnMut() -> bool) {
        let failed = wait_until(awaited, PATIENCE, || Ok(holds())).err();
        let logs = || {
            let logs = self.members.iter().map(|(_, member)| member.log());
            logs.collect::<String>()
        };
        assert!(failed.is_none(), "{failed:?}\n{}", logs());
    }

    /// Waits until the replica has taken changes that were made after this moment.
    pub fn await_progress(&self, awaited: &str) {
        let before = audit::effects(&self.loaded.bed.origin_asked());
        let found = || audit::effects(&self.loaded.bed.replica_asked());
        self.wait(&format!("progress {awaited}"), || found() > before);
    }

    /// How often each partition was fenced, by topic and number.
    pub fn fences(&self) -> Vec<(String, u64)> {
        let name = self.loaded.bed.name;
        let sql = format!(
            "select topic || '/' || partition || ' ' || owner_epoch from keylane.progress where lane = -1 and pipeline = '{name}' order by 1"
        );
        let rows = self.loaded.bed.replica_sql(&sql);
        let row = |line: &str| {
            let (partition, epoch) = line.split_once(' ').expect("two words");
            (partition.to_owned(), epoch.parse().expect("a number"))
        };
        rows.lines().map(row).collect()
    }

    /// Each partition moves on from here.
    pub fn await_progress_of_each(&self, partitions: &[String], awaited: &str) {
        let lows = || {
            let sql = "select topic || '/' || partition || ' ' || next_offset from keylane.progress where lane = -1 order by 1";
            self.loaded.bed.replica_sql(sql)
        };
        let before = lows();
        let moved = || {
            let now = lows();
            partitions.iter().all(|partition| {
                let of = |rows: &str| {
                    let found = rows
                        .lines()
                        .find(|row| row.starts_with(&format!("{partition} ")));
                    found.map(str::to_owned)
                };
                of(&before) != of(&now)
            })
        };
        self.wait(awaited, moved);
    }

    /// Both sides tell the same story; then everything ends well.
    pub fn end(mut self) {
        let (_, first) = self.members.first().expect("a member");
        self.loaded.end(first);
        for (_folder, member) in self.members.drain(..) {
            member.terminate();
        }
        self.capture.terminate();
    }
}

/// What stands in the configuration's `apply` block.
fn in_group(group: &str) -> String {
    format!(", group: {{ {group} }}")
}
