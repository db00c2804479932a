//! The tables of sagas, in schema `keylane`. Times are microseconds since 1970; what JSON there is stands as text, exactly as it came.

use crate::postgres::own_tables::OwnTables;

/// What is in the database of the sagas.
pub(super) const TABLES: OwnTables = OwnTables {
    whose: "the sagas' database",
    meta: "saga_meta",
    versions: &[CREATE, TRACKS],
};

const CREATE: &str = r#"
CREATE SCHEMA IF NOT EXISTS keylane;
CREATE TABLE keylane.saga_meta (version integer NOT NULL);
CREATE TABLE keylane.saga_definition (
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    hash bigint NOT NULL,
    body text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
COMMENT ON TABLE keylane.saga_definition IS 'Definitions of sagas; never changed.';
CREATE TABLE keylane.saga (
    id text COLLATE "C" PRIMARY KEY,
    shard smallint NOT NULL,
    definition text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    hash bigint NOT NULL,
    key text,
    phase text NOT NULL,
    state text NOT NULL,
    revision bigint NOT NULL,
    data text NOT NULL,
    reason text,
    started_us bigint NOT NULL,
    updated_us bigint NOT NULL,
    deadline_us bigint,
    next_us bigint,
    step text,
    attempts integer NOT NULL,
    why text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX saga_due ON keylane.saga (shard, next_us);
CREATE INDEX saga_started ON keylane.saga (started_us, id);
CREATE INDEX saga_states ON keylane.saga (definition, state);
COMMENT ON TABLE keylane.saga IS 'Sagas that have not ended. Written under compare-and-set on revision.';
CREATE TABLE keylane.saga_step (
    saga_id text COLLATE "C" NOT NULL,
    place integer NOT NULL,
    step text COLLATE "C" NOT NULL,
    participant text COLLATE "C" NOT NULL,
    status text NOT NULL,
    is_out boolean NOT NULL,
    attempts integer NOT NULL,
    tries integer NOT NULL,
    since_us bigint,
    next_us bigint,
    stuck boolean NOT NULL,
    by_hand boolean NOT NULL,
    reply text,
    error text,
    PRIMARY KEY (saga_id, place)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX saga_step_waiting ON keylane.saga_step (participant) WHERE is_out AND tries > 1;
CREATE TABLE keylane.saga_key (
    definition text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    saga_id text COLLATE "C" NOT NULL,
    request bigint NOT NULL,
    PRIMARY KEY (definition, key)
);
COMMENT ON TABLE keylane.saga_key IS 'Which saga a key started, also of sagas that ended: a key starts one.';
CREATE TABLE keylane.saga_history (
    id text COLLATE "C" PRIMARY KEY,
    definition text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    key text,
    state text NOT NULL,
    started_us bigint NOT NULL,
    updated_us bigint NOT NULL,
    ended_us bigint NOT NULL,
    why text,
    body text NOT NULL
);
CREATE INDEX saga_history_ended ON keylane.saga_history (ended_us);
CREATE INDEX saga_history_started ON keylane.saga_history (started_us, id);
CREATE TABLE keylane.saga_log (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    saga_id text COLLATE "C" NOT NULL,
    at_us bigint NOT NULL,
    what text NOT NULL,
    step text,
    attempt integer,
    actor text,
    reason text
);
CREATE INDEX saga_log_of ON keylane.saga_log (saga_id, number);
COMMENT ON TABLE keylane.saga_log IS 'What happened to each saga, and who asked for what. Lines are only added, and deleted with their saga.';
CREATE SEQUENCE keylane.saga_outbox_number AS bigint;
CREATE TABLE keylane.saga_outbox (
    saga_id text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    shard smallint NOT NULL,
    participant text COLLATE "C" NOT NULL,
    at_us bigint NOT NULL,
    command text NOT NULL,
    PRIMARY KEY (saga_id, step)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX saga_outbox_number_of ON keylane.saga_outbox (number);
COMMENT ON TABLE keylane.saga_outbox IS 'Commands that are to be sent. A later one to a step takes the place of an earlier one.';
CREATE TABLE keylane.saga_parked (
    saga_id text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    op text NOT NULL,
    outcome text NOT NULL,
    body text NOT NULL,
    at_us bigint NOT NULL,
    PRIMARY KEY (saga_id, step, op)
);
COMMENT ON TABLE keylane.saga_parked IS 'Answers to sagas that are not known here.';
CREATE TABLE keylane.saga_lease (
    shard smallint PRIMARY KEY,
    owner text,
    epoch bigint NOT NULL DEFAULT 0,
    until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO keylane.saga_lease (shard) SELECT generate_series(0, 15);
CREATE TABLE keylane.saga_member (owner text PRIMARY KEY, until timestamptz NOT NULL);
"#;

const TRACKS: &str = r#"
CREATE TABLE keylane.saga_track (
    id text COLLATE "C" PRIMARY KEY,
    terms bigint NOT NULL DEFAULT 0,
    definition text COLLATE "C",
    state text NOT NULL DEFAULT 'running',
    key text,
    started_us bigint NOT NULL DEFAULT 0,
    updated_us bigint NOT NULL DEFAULT 0,
    ended_us bigint,
    waits text NOT NULL DEFAULT '[]',
    why text,
    stuck_us bigint,
    stuck_step text,
    stuck_why text,
    track text NOT NULL DEFAULT '{}'
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE INDEX saga_track_open ON keylane.saga_track (started_us, id) WHERE ended_us IS NULL;
CREATE INDEX saga_track_started ON keylane.saga_track (started_us, id) WHERE ended_us IS NOT NULL;
CREATE INDEX saga_track_ended ON keylane.saga_track (ended_us);
CREATE INDEX saga_track_terms ON keylane.saga_track (terms);
COMMENT ON TABLE keylane.saga_track IS 'What was heard of choreographed sagas: a join of their events. All columns follow from track and from the choreographies whose number is terms.';
CREATE TABLE keylane.saga_signal (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    saga_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    shard smallint NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    at_us bigint NOT NULL,
    partition integer,
    tried_at bigint,
    is_sent boolean NOT NULL DEFAULT false,
    UNIQUE (saga_id, kind, topic)
);
CREATE INDEX saga_signal_unsent ON keylane.saga_signal (number) WHERE NOT is_sent;
COMMENT ON TABLE keylane.saga_signal IS 'What people tell the services of choreographed sagas: each goes out once, and stays until its saga is forgotten.';
"#;
