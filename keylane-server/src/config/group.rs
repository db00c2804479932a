//! `apply.group`: how processes that apply a pipeline share its partitions.

use keylane::workers::apply::GroupOptions;
use keylane_core::publish::GroupProtocol;

use super::code::Code;
use super::keys::{Absent, Key, Takes};
use super::reader::{Block, Read};

/// Of a name; Kafka takes longer ones.
const BYTES_MAX: usize = 200;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "name",
        takes: Takes::Text("a name"),
        absent: Absent::Means("keylane-PIPELINE-REPLICA, with the replica's own identity"),
        means: "The group's name. Its members must write to one replica: two replicas under one name would each get half of the changes.",
    },
    Key {
        name: "protocol",
        takes: Takes::Word(&["classic", "consumer"]),
        absent: Absent::Default("classic"),
        means: "`classic`: the members agree among themselves, cooperatively. `consumer`: the broker decides (KIP-848, Kafka 4.0 and later). Members of both at once only while one is changed to the other.",
    },
    Key {
        name: "session_timeout",
        takes: Takes::Duration {
            min_ms: 1_000,
            max_ms: 30 * 60_000,
        },
        absent: Absent::Default("10s"),
        means: "After how long without a sign of life a process's partitions are given to others. The broker sets the bounds (`group.min.session.timeout.ms`). With `consumer` the broker's own `group.consumer.session.timeout.ms` counts.",
    },
    Key {
        name: "instance_id",
        takes: Takes::Text("a name"),
        absent: Absent::Means("none"),
        means: "A name of this process that stays over restarts (static membership), another one for each. A process that comes back under it within the session time-out goes on with its partitions, and nothing moves; one that stops keeps them from others for that long.",
    },
];

pub(super) fn read(block: &Block<'_>) -> Read<GroupOptions> {
    let group_name = name(block, "name");
    let protocol = block.choice(
        "protocol",
        &[GroupProtocol::Classic, GroupProtocol::Consumer],
    );
    let session_timeout = block.duration("session_timeout");
    let instance_id = name(block, "instance_id");
    Ok(GroupOptions {
        name: group_name?,
        protocol: protocol?,
        session_timeout: session_timeout?,
        instance_id: instance_id?,
    })
}

fn name(block: &Block<'_>, key: &str) -> Read<Option<String>> {
    let Some(text) = block.text_if_any(key)? else {
        return Ok(None);
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.value.is_empty() || text.value.len() > BYTES_MAX || !text.value.chars().all(legal) {
        let fault = "is not a name of letters, digits, '.', '_' and '-'";
        return Err(block.bad(Code::BadName, key, &text, fault));
    }
    Ok(Some(text.value))
}
