//! Sagas whose participants read topics: commands out by the idempotent producer, answers in by the reply topic, with processes killed midway.

use std::sync::Arc;
use std::time::Duration;

use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane_core::publish::{Log as _, TopicSpec};
use keylane_core::saga::{State, StepStatus};
use keylane_parts::KafkaHandle;

use super::bed::{Bed, wait};
use super::participants::Manners;

const SAGAS: usize = 120;

#[test]
fn effects_are_exact_where_participants_read_topics_and_processes_are_killed() {
    let Some(bed) = Bed::postgres(11, "sagas_topics") else {
        return;
    };
    let bootstrap = KafkaHandle::shared().expect("Kafka").bootstrap();
    let (commands, answers) = ("sagas.cmd.stock", "sagas.answers");
    let log = Arc::new(KafkaLog::open(KafkaSettings::new(bootstrap)).expect("Kafka"));
    let spec = |name: &str| TopicSpec {
        name: name.into(),
        partitions: 4,
        replication_factor: 1,
        settings: Vec::new(),
    };
    let specs = [spec(commands), spec(answers)];
    let made = bed.runtime.block_on(log.ensure_topics(&specs));
    made.expect("topics");
    read_by_topic(&bed, bootstrap, commands, answers);
    bed.participants.behaves(
        "stock",
        Manners {
            says_no: 15,
            loses_answers: 10,
            ..Manners::default()
        },
    );
    let stop = bed.participants.reads(bootstrap, commands, "stock");
    let mut serving = bed.serve();
    for kill in 0..3 {
        bed.begin(
            (kill * SAGAS / 3..(kill + 1) * SAGAS / 3).map(|number| format!("trip-{number}")),
        );
        std::thread::sleep(Duration::from_millis(700));
        serving.kill9();
        serving = bed.serve();
    }
    wait("all sagas to end", || bed.list(&[]).is_empty());
    serving.terminate();
    stop.cancel();
    assert_exact(&bed);
}

/// What was reserved was reserved once, or not at all, as its saga ended.
fn assert_exact(bed: &Bed) {
    let effects = bed.participants.effects();
    for saga in bed.list(&[State::Completed, State::Compensated]) {
        let shown = bed
            .runtime
            .block_on(bed.desk.show(&saga.id))
            .expect("read")
            .expect("kept");
        let reserve = shown.saga.steps.first().map(|row| row.status);
        let had = effects
            .get(&(saga.id.clone(), "reserve".to_owned()))
            .copied()
            .unwrap_or((0, 0));
        let expected = match (saga.state, reserve) {
            (State::Completed, Some(StepStatus::Ok)) => had == (1, 0),
            _ => had.0 == had.1 && had.0 <= 1,
        };
        assert!(expected, "{} {reserve:?} {had:?}", saga.id);
    }
    assert_eq!(
        bed.list(&[State::Completed, State::Compensated]).len(),
        SAGAS
    );
    assert!(
        effects.keys().any(|(_, step)| step == "reserve"),
        "the topic was read"
    );
}

/// The service `stock` reads a topic from now on.
pub fn read_by_topic(bed: &Bed, bootstrap: &str, commands: &str, answers: &str) {
    let path = bed.folder.path().join("keylane.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    let at = format!(
        "stock: {{ http: 'http://{}/stock' }}",
        bed.participants.address
    );
    assert!(text.contains(&at), "{text}");
    let text = text.replace(&at, &format!("stock: {{ kafka: {commands} }}"));
    let text = text.replace(
        "saga:\n",
        &format!(
            "log: {{ kafka: {{ bootstrap: '{bootstrap}' }} }}\nsaga:\n  reply_topic: {answers}\n"
        ),
    );
    std::fs::write(path, text).expect("written");
}
