//! Capture: what the origin tells becomes changes in commit order, each stamped with what it depends on.

mod port;
pub use port::{ChunkRequest, Opened, Origin, OriginError, OriginErrorKind, OriginEvent};

mod write_set;
pub use write_set::{Place, WriteSet};

mod split;
pub use split::split_key_change;

mod snapshot;
pub use snapshot::{SnapshotPlan, TablePhase, TableProgress, Window};

mod route;
pub use route::{Guest, Route};

mod outbox;
pub use outbox::{EventPublication, EventTopic, OutboxRow, OutboxTables, RefusedRow};

mod sequencer;
pub use sequencer::{Publication, Sequenced, Sequencer};
