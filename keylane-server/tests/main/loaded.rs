//! A road whose two halves run as processes of their own, under load and audit.

use std::path::Path;
use std::thread::JoinHandle;

use crate::bed::Bed;
use crate::chaos::{audit, check};
use crate::running::Running;

const TABLES: &str = "create table counters(id int primary key, version int not null);
    create table notes(id bigint primary key, counter int not null references counters(id), body text);";

const AUDITED: [(&str, &str); 2] = [("counters", "id"), ("notes", "id")];

/// A writer in the origin itself, until it is told to stop: rows that grow, come, change their key and go.
const LOAD: &str = "do $$ declare n int := 0; begin
      while not (select stop from work.load) loop
        n := n + 1;
        -- Some much more often than others.
        update counters set version = version + 1 where id = 1 + floor(50 * random() ^ 3);
        insert into notes values (n, 1 + n % 50, repeat('x', 20));
        update notes set body = body || 'y' where id = n - 3;
        update notes set id = id + 1000000000 where id = n - 5 and n % 7 = 0;
        delete from notes where id = n - 9;
        commit;
        perform pg_sleep(0.002);
      end loop;
    end $$";

/// A road whose two halves run as processes of their own, under load and audit from the moment when both sides were the same.
pub struct Loaded {
    pub bed: Bed,
    load: Option<JoinHandle<()>>,
}

impl Loaded {
    /// Both halves as processes of their own, the load begun. One partition for each table.
    pub fn new(name: &'static str) -> (Loaded, Running, Running) {
        Loaded::with(name, 1, "")
    }

    /// As [`Loaded::new`], with so many partitions for each table, and more words for the configuration's `apply`.
    pub fn with(name: &'static str, partitions: u32, apply: &str) -> (Loaded, Running, Running) {
        let topics = format!("partitions: {partitions}");
        Loaded::on(Bed::new(name, TABLES), &topics, apply)
    }

    /// As [`Loaded::new`], over a Kafka of the test's own, with these words for the configuration's `topics` and `apply`.
    pub fn over(
        kafka: &str,
        name: &'static str,
        topics: &str,
        apply: &str,
    ) -> (Loaded, Running, Running) {
        Loaded::on(Bed::over(kafka, name, TABLES), topics, apply)
    }

    /// As [`Loaded::with`], into the replica of another road, whose tables it does not touch.
    pub fn beside(
        other: &Loaded,
        name: &'static str,
        partitions: u32,
        apply: &str,
    ) -> (Loaded, Running, Running) {
        let own = &["counters", "notes", "proof"];
        let topics = format!("partitions: {partitions}");
        Loaded::on(Bed::beside(&other.bed, name, TABLES, own), &topics, apply)
    }

    fn on(bed: Bed, topics: &str, apply: &str) -> (Loaded, Running, Running) {
        let mut wiring = bed.wiring();
        wiring.topics = topics.to_owned();
        wiring.apply.push_str(apply);
        bed.configure(&[wiring]);
        bed.origin_sql(
            "insert into counters select id, 0 from generate_series(1, 50) id;
             create schema work; create table work.load(stop bool); insert into work.load values (false)",
        );
        let capture = bed.start(&["--only", "capture"]);
        let apply = bed.start(&["--only", "apply"]);
        bed.settle(&apply);
        audit::begin(&bed.origin_asked(), &bed.replica_asked(), &AUDITED);
        let origin = bed.origin_asked();
        let load = std::thread::spawn(move || {
            origin(LOAD);
        });
        let loaded = Loaded {
            bed,
            load: Some(load),
        };
        loaded.await_progress(&apply, "under load");
        (loaded, capture, apply)
    }

    /// The same pipeline on what could be another machine.
    pub fn elsewhere(&self, half: &str) -> (tempfile::TempDir, Running) {
        self.elsewhere_with(half, "", "")
    }

    /// As [`Loaded::elsewhere`], with a text of the configuration in another's place.
    pub fn elsewhere_with(&self, half: &str, from: &str, to: &str) -> (tempfile::TempDir, Running) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = std::fs::read_to_string(self.bed.config()).expect("the configuration");
        let config = folder.path().join("keylane.yaml");
        std::fs::write(config, text.replacen(from, to, 1)).expect("the configuration is copied");
        let running = self.again(half, folder.path());
        (folder, running)
    }

    /// A half in a folder that has a configuration.
    pub fn again(&self, half: &str, folder: &Path) -> Running {
        let mut command = self.bed.keylane(&["run", "--only", half]);
        command.current_dir(folder);
        Running::start(command, folder)
    }

    /// Waits until the replica has taken changes that were made after this moment.
    pub fn await_progress(&self, road: &Running, awaited: &str) {
        let before = audit::effects(&self.bed.origin_asked());
        let found = || audit::effects(&self.bed.replica_asked());
        self.bed
            .wait(road, &format!("progress {awaited}"), || found() > before);
    }

    /// Ends the load; afterwards the replica gets equal, and each row has the same story on both sides.
    pub fn end(&mut self, road: &Running) {
        self.bed.origin_sql("update work.load set stop = true");
        if let Some(load) = self.load.take() {
            load.join().expect("the load ends");
        }
        self.bed.settle(road);
        self.bed.assert_equal(&["counters", "notes"]);
        audit::same_stories(&self.bed.origin_asked(), &self.bed.replica_asked(), &|| {
            road.log()
        });
        let topics = format!("{}.public.", self.bed.name);
        check::no_position_twice(&self.bed.kafka, &topics);
        let sql =
            "select count(*) from proof.audit where op = 'UPDATE' and version <> old_version + 1";
        assert_eq!(self.bed.replica_sql(sql), "0", "a counter went back");
    }
}

/// Ends the load when a test fails.
impl Drop for Loaded {
    fn drop(&mut self) {
        if self.load.is_some() {
            self.bed.origin_sql("update work.load set stop = true");
        }
    }
}
