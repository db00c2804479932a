//! From the topics that are to be and those that are: what is created, what is altered, and what is refused because it would break order or lose records.

use std::collections::BTreeMap;

use super::figures::hours;
use super::lint::Topic;

/// A topic as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// How many copies of each.
    pub copies: u32,
    /// Its settings that are said; others are left as they are.
    pub settings: BTreeMap<String, String>,
}

/// A setting that gets another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// Its name.
    pub setting: String,
    /// What it is.
    pub from: String,
    /// What it is to be.
    pub to: String,
}

/// Something that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: &'static str,
    /// What was asked for.
    pub asked: String,
    /// Why it is not done.
    pub why: String,
    /// What to do instead, a step each.
    pub instead: Vec<String>,
}

/// What happens to one topic. Neither created, altered nor refused: it is as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The topic as it is to be.
    pub wanted: WantedTopic,
    /// Whether it is created.
    pub create: bool,
    /// Settings that are altered.
    pub alter: Vec<Alteration>,
    /// What is not done.
    pub refused: Vec<Refusal>,
}

/// Would move keys.
const MOVES_KEYS: &str = "KL-TOPICS-004";
/// Could lose records, or needs more than a setting.
const LOSES: &str = "KL-TOPICS-005";

/// Who drains, for the words of the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// The pipeline.
    pub pipeline: String,
    /// Its topics' prefix.
    pub prefix: String,
}

/// The changes that make the topics that are there into those that are wanted, as far as it is safe.
pub fn changes(wanted: &[WantedTopic], there: &[Topic], drained: &Drained) -> Vec<Change> {
    let change = |wanted: &WantedTopic| {
        let mut change = Change {
            wanted: wanted.clone(),
            create: false,
            alter: Vec::new(),
            refused: Vec::new(),
        };
        match there.iter().find(|topic| topic.name == wanted.name) {
            None => change.create = true,
            Some(topic) => {
                change
                    .refused
                    .extend(other_partitions(wanted, topic, drained));
                change.refused.extend(other_copies(wanted, topic));
                for (name, to) in &wanted.settings {
                    setting(name, to, topic, &mut change);
                }
            }
        }
        change
    };
    wanted.iter().map(change).collect()
}

/// Partitions are never taken away, and more of them move keys: neither is done in place.
fn other_partitions(wanted: &WantedTopic, topic: &Topic, drained: &Drained) -> Option<Refusal> {
    if wanted.partitions == topic.partitions {
        return None;
    }
    let why = match wanted.partitions > topic.partitions {
        true => {
            "a key's partition is its hash modulo their number: later records of a key would overtake its earlier ones"
        }
        false => "a topic cannot lose partitions",
    };
    Some(Refusal {
        code: MOVES_KEYS,
        asked: format!(
            "{} partitions instead of {}",
            wanted.partitions, topic.partitions
        ),
        why: why.to_owned(),
        instead: drain_steps(wanted, topic, drained),
    })
}

/// The drained way: what is in the old topics is applied, then new ones are filled.
fn drain_steps(wanted: &WantedTopic, topic: &Topic, drained: &Drained) -> Vec<String> {
    let Drained { pipeline, prefix } = drained;
    vec![
        format!(
            "or keep {}: set topics.partitions (or topics.partitions_of) back; then nothing has to move",
            topic.partitions
        ),
        format!(
            "keylane settle {pipeline} --timeout 10m   (the replica holds all that the old topics hold)"
        ),
        "stop `keylane run` (SIGTERM drains it); what is committed at the origin meanwhile stays in its slot".to_owned(),
        format!("in keylane.yaml: topics.prefix: {prefix}2, with the {} partitions", wanted.partitions),
        "keylane topics apply   (makes the topics under the new prefix)".to_owned(),
        "keylane run   (copies the tables into the new topics, then goes on; rows that are there already are written over with themselves)".to_owned(),
        format!(
            "once nobody reads the old ones: kafka-topics --delete --topic '{}\\..*'",
            prefix.replace('.', "\\.")
        ),
    ]
}

fn other_copies(wanted: &WantedTopic, topic: &Topic) -> Option<Refusal> {
    (wanted.copies != topic.copies_min).then(|| Refusal {
        code: LOSES,
        asked: format!("{} copies instead of {}", wanted.copies, topic.copies_min),
        why: "which brokers hold the copies has to be said, and copying them loads the cluster"
            .to_owned(),
        instead: vec![format!(
            "kafka-reassign-partitions --generate, then --execute, for topic {}",
            topic.name
        )],
    })
}

/// Whether a setting may be altered while the topic is in use.
enum Judgement {
    Safe,
    Unsafe(String),
}

fn setting(name: &str, to: &str, topic: &Topic, change: &mut Change) {
    let is = topic.settings.get(name).map_or("", String::as_str);
    if is == to {
        return;
    }
    match judge(name, is, to, topic) {
        Judgement::Safe => change.alter.push(Alteration {
            setting: name.to_owned(),
            from: is.to_owned(),
            to: to.to_owned(),
        }),
        Judgement::Unsafe(why) => change.refused.push(Refusal {
            code: LOSES,
            asked: format!("{name}={to} instead of {is}"),
            why,
            instead: vec![format!(
                "if that is meant: kafka-configs --alter --topic {} --add-config {name}={to}",
                topic.name
            )],
        }),
    }
}

fn judge(name: &str, is: &str, to: &str, topic: &Topic) -> Judgement {
    let (from, wanted) = (number(is), number(to));
    let grows = match (from, wanted) {
        (Some(from), Some(wanted)) => wanted >= from,
        _ => false,
    };
    match name {
        // -1 is for ever.
        "retention.ms" | "retention.bytes" => {
            match (grows || wanted == Some(-1)) && from != Some(-1) {
                true => Judgement::Safe,
                false => Judgement::Unsafe(shorter(name, is, to)),
            }
        }
        "min.insync.replicas" => match (grows, wanted) {
            (true, Some(wanted)) if wanted <= i64::from(topic.copies_min) => Judgement::Safe,
            (true, _) => Judgement::Unsafe(format!(
                "there are {} copies: nothing could be written any more",
                topic.copies_min
            )),
            (false, _) => Judgement::Unsafe("what is acknowledged would outlast less".to_owned()),
        },
        "max.message.bytes" if grows => Judgement::Safe,
        "max.message.bytes" => {
            Judgement::Unsafe("records that are written today would be refused".to_owned())
        }
        "cleanup.policy" if to.contains("compact") => {
            Judgement::Unsafe("compaction takes a key's earlier changes, read or not".to_owned())
        }
        "cleanup.policy" => Judgement::Unsafe(
            "what was kept for ever would go as soon as it is older than retention.ms".to_owned(),
        ),
        "compression.type"
        | "segment.ms"
        | "segment.bytes"
        | "segment.jitter.ms"
        | "file.delete.delay.ms" => Judgement::Safe,
        _ => Judgement::Unsafe(
            "it is not among the settings that are known to be safe to alter".to_owned(),
        ),
    }
}

fn shorter(name: &str, is: &str, to: &str) -> String {
    const HOUR_MS: f64 = 3_600_000.0;
    let told = |text: &str| match (name, number(text)) {
        ("retention.ms", Some(ms)) if ms >= 0 => hours(ms as f64 / HOUR_MS),
        (_, Some(-1)) => "for ever".to_owned(),
        _ => text.to_owned(),
    };
    format!(
        "records are kept {} and would be kept {}: whoever has not read them loses them",
        told(is),
        told(to)
    )
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(settings: &[(&str, &str)]) -> Topic {
        Topic {
            name: "shop.public.orders".to_owned(),
            partitions: 8,
            copies_min: 3,
            settings: texts(settings),
            ..Topic::default()
        }
    }

    fn texts(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
        let all = settings.iter();
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn change(partitions: u32, settings: &[(&str, &str)], there: &[Topic]) -> Change {
        let wanted = WantedTopic {
            name: "shop.public.orders".to_owned(),
            partitions,
            copies: 3,
            settings: texts(settings),
        };
        let drained = Drained {
            pipeline: "shop".to_owned(),
            prefix: "shop".to_owned(),
        };
        changes(&[wanted], there, &drained).remove(0)
    }

    #[test]
    fn a_missing_topic_is_created_and_one_that_is_right_is_left_alone() {
        assert!(change(8, &[], &[]).create);
        let same = change(
            8,
            &[("retention.ms", "1000")],
            &[there(&[("retention.ms", "1000")])],
        );
        assert!(!same.create && same.alter.is_empty() && same.refused.is_empty());
    }

    #[test]
    fn a_keyed_topic_gets_no_more_partitions_in_place() {
        for (partitions, why) in [(12, "overtake"), (4, "cannot lose")] {
            let change = change(partitions, &[], &[there(&[])]);
            assert!(!change.create && change.alter.is_empty());
            let refusal = change.refused.first().expect("it is refused");
            assert_eq!(refusal.code, "KL-TOPICS-004");
            assert!(refusal.why.contains(why), "{}", refusal.why);
            let steps = refusal.instead.join("\n");
            for step in [
                "keylane settle shop",
                "topics.prefix: shop2",
                "keylane topics apply",
                "keylane run",
            ] {
                assert!(steps.contains(step), "{step} is not in {steps}");
            }
        }
    }

    fn check(name: &str, from: &str, to: &str, safe: bool) {
        let change = change(8, &[(name, to)], &[there(&[(name, from)])]);
        assert_eq!(change.refused.is_empty(), safe, "{name} {from} → {to}");
        assert_eq!(
            change.alter.len(),
            usize::from(safe),
            "{name} {from} → {to}"
        );
    }

    #[test]
    fn a_setting_is_altered_only_where_nothing_can_be_lost_by_it() {
        check("retention.ms", "1000", "2000", true);
        check("retention.ms", "1000", "-1", true);
        check("retention.ms", "2000", "1000", false);
        check("retention.ms", "-1", "1000", false);
        check("retention.bytes", "1000", "1000000", true);
        check("min.insync.replicas", "1", "2", true);
        check("min.insync.replicas", "2", "1", false);
        check("min.insync.replicas", "2", "4", false);
        check("max.message.bytes", "1000", "2000", true);
        check("max.message.bytes", "2000", "1000", false);
        check("cleanup.policy", "delete", "compact", false);
        check("cleanup.policy", "compact", "delete", false);
        check("compression.type", "producer", "zstd", true);
        check("unclean.leader.election.enable", "false", "true", false);
    }

    #[test]
    fn another_number_of_copies_is_left_to_who_knows_the_brokers() {
        let mut topic = there(&[]);
        topic.copies_min = 1;
        let change = change(8, &[], &[topic]);
        let refusal = change.refused.first().expect("it is refused");
        assert_eq!(refusal.code, "KL-TOPICS-005");
        assert!(
            refusal
                .instead
                .join("")
                .contains("kafka-reassign-partitions")
        );
    }
}
