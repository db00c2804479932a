//! The group's own table, in schema `keylane`: a row for each lane, and one (lane −1) for each partition as a whole.

use crate::postgres::lanes::LaneTable;
use crate::postgres::own_tables::OwnTables;

/// What is in the database of a group.
pub(super) const TABLES: OwnTables = OwnTables {
    whose: "the consumer's database",
    meta: "consumer_meta",
    versions: &[CREATE],
};

/// How far the lanes are.
pub(super) const LANES: LaneTable = LaneTable {
    name: "keylane.consumer_progress",
    owner: "consumer_group",
    since: "this group last handled it",
    done: "handled",
    first: "once everything that the group is to have of the old topic is handled, run in the group's database, and the group begins there anew",
};

/// Of a lane, `next_offset` −1 says that nothing was handled in it yet; of a partition, that the group has not begun there.
const CREATE: &str = r#"
CREATE SCHEMA IF NOT EXISTS keylane;
CREATE TABLE keylane.consumer_meta (version integer NOT NULL);
CREATE TABLE keylane.consumer_progress (
    consumer_group text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    lane integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT -1,
    owner_epoch bigint NOT NULL DEFAULT 0,
    done_at timestamptz NOT NULL DEFAULT now(),
    topic_id text,
    partitions integer,
    lanes integer,
    PRIMARY KEY (consumer_group, topic, partition, lane)
) WITH (fillfactor = 50);
COMMENT ON TABLE keylane.consumer_progress IS 'How far consumer groups are, written in the same transactions as what their handlers write. Deleting it has everything handled again.';
"#;
