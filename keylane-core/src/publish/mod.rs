//! Publish: changes become records of the log, each with its position, its stamp and its capturer's epoch; nothing twice, nothing out of order.

mod port;
pub use port::{
    AppendTicket, Bounds, Log, LogConsumer, LogError, LogErrorKind, NewRecord, RawRecord,
    TopicInfo, TopicSpec,
};

mod group;
pub use group::{
    Committed, GroupAnswer, GroupMember, GroupNews, GroupProtocol, GroupSettings, Membership,
};

mod header;
pub use header::{Dependency, HEADER_NAME, Header, HeaderError, RecordKind, SourceId, Stamp};

mod accept;
pub use accept::{Acceptance, Checkpoint, Verdict};

mod confirm;
pub use confirm::ConfirmTracker;
