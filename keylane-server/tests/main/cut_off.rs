//! A member of the group that reaches every broker but its coordinator: it goes on fetching while others are given what it had.

use crate::leaders::on_three_gated_brokers;
use crate::members::Group;
use crate::running::Running;

/// The partitions that were fenced in between.
fn fenced_since(before: &[(String, u64)], now: &[(String, u64)]) -> Vec<String> {
    let changed = now.iter().filter(|row| !before.contains(row));
    changed.map(|(partition, _)| partition.clone()).collect()
}

fn who_is_cut_off_writes_nothing(name: &'static str, protocol: &str, finds_out: &str) {
    on_three_gated_brokers(|kafka, gates| {
        for gate in &mut *gates {
            gate.open();
        }
        let gated: Vec<String> = gates.iter().map(|gate| gate.place()).collect();
        let topics = "partitions: 8, replication_factor: 3";
        let words = format!("name: {name}, {protocol}");
        let mut group = Group::over(&kafka.bootstrap(), name, topics, &words);
        kafka.await_in_sync("").expect("all copies are in sync");
        let before = group.fences();
        let direct = kafka.bootstrap();
        let text = std::fs::read_to_string(group.loaded.bed.config()).expect("the configuration");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = text.replace(&direct, &gated.join(","));
        std::fs::write(folder.path().join("keylane.yaml"), text).expect("it is written");
        let mut command = group.loaded.bed.keylane(&["run", "--only", "apply", "-v"]);
        command.current_dir(folder.path());
        let member = Running::start(command, folder.path());
        group.members.push((Some(folder), member));
        group.wait("the second to have a share", || {
            group.members[1].1.log().contains("taken over")
        });
        let now = group.fences();
        let shared = fenced_since(&before, &now);
        group.await_progress_of_each(&shared, "progress by the second");

        let coordinator = kafka.coordinator(name).expect("one of three");
        let gate = gates.get_mut(coordinator as usize - 1);
        let gate = gate.expect("one of three");
        gate.shut();
        group.wait("others to have all that the second had", || {
            let fenced = fenced_since(&now, &group.fences());
            shared.iter().all(|partition| fenced.contains(partition))
        });
        for _ in 0..3 {
            group.await_progress_of_each(&shared, "progress by the first");
        }
        let told = || group.members[1].1.log();
        group.wait(&format!("the second to be {finds_out}"), || {
            told().contains(finds_out)
        });

        gate.open();
        let alone = group.fences();
        group.wait("the second to have a share again", || {
            group.fences() != alone
        });
        group.await_progress_of_each(&shared, "progress by both");
        group.end();
    });
}

#[test]
fn who_is_cut_off_from_its_coordinator_by_the_brokers_own_assignment_writes_nothing() {
    // Its client tells it nothing: it fetches on, and finds out at the replica.
    who_is_cut_off_writes_nothing("cut_off_broker", "protocol: consumer", "fenced");
}

#[test]
fn who_is_cut_off_from_its_coordinator_by_the_classic_protocol_writes_nothing() {
    // Its client has a clock of its own for the session.
    who_is_cut_off_writes_nothing("cut_off_classic", "session_timeout: 2s", "given up");
}
