//! Keylane's own tables at the replica, in schema `keylane`, and their version.
//!
//! `progress` holds a row for each lane and one (lane −1) for each partition as a whole. Its rows are updated in every transaction, so pages keep room
//! for the new versions (fillfactor) and nothing but the primary key is indexed: each update stays in its page.

use crate::postgres::lanes::LaneTable;
use crate::postgres::own_tables::OwnTables;

/// What is at a replica.
pub(super) const TABLES: OwnTables = OwnTables {
    whose: "the replica",
    meta: "meta",
    versions: &[CREATE, FROM_1_TO_2],
};

/// How far the lanes are.
pub(super) const LANES: LaneTable = LaneTable {
    name: "keylane.progress",
    owner: "pipeline",
    since: "the replica last applied it",
    done: "applied",
    first: "once everything that the old topic held is applied, or to copy its tables anew, run at the replica",
};

/// The tables of version 1.
const CREATE: &str = r#"
CREATE SCHEMA IF NOT EXISTS keylane;
CREATE TABLE IF NOT EXISTS keylane.meta (version integer NOT NULL);
CREATE TABLE IF NOT EXISTS keylane.progress (
    pipeline text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    lane integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    commit_position bigint NOT NULL DEFAULT 0,
    ordinal bigint NOT NULL DEFAULT 0,
    owner_epoch bigint NOT NULL DEFAULT 0,
    applied_at timestamptz NOT NULL DEFAULT now(),
    accept_epoch bigint,
    accept_commit bigint,
    accept_ordinal bigint,
    topic_id text,
    partitions integer,
    lanes integer,
    PRIMARY KEY (pipeline, topic, partition, lane)
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS keylane.parked (
    id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    pipeline text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    lane integer NOT NULL,
    record_offset bigint NOT NULL,
    key bytea NOT NULL,
    table_name text,
    value bytea NOT NULL,
    header text,
    code text NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    redrive boolean NOT NULL DEFAULT false,
    PRIMARY KEY (pipeline, topic, partition, lane, record_offset)
);
COMMENT ON SCHEMA keylane IS 'How far Keylane has applied what it reads (progress) and what it could not apply (parked). Dropping it loses both.';
"#;

/// What version 2 has beyond version 1.
const FROM_1_TO_2: &str = r#"
CREATE TABLE keylane.pipelines (
    pipeline text COLLATE "C" PRIMARY KEY,
    threads text NOT NULL,
    configured_threads text NOT NULL
);
"#;
