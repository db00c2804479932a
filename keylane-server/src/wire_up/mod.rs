//! From configuration to running parts: the only place that knows every adapter.

mod road;
pub use road::Road;

mod marker;

mod roads;
pub use roads::roads;

mod outbox;

mod events;
pub use events::EventIntake;

mod checks;
pub use checks::checks;

mod reconcile;
pub use reconcile::{Database, RoadPassage};

mod notify;
pub use notify::{channels, outbox, outbox_if_there, rendered, turn};

mod writers;

mod topics_origin;
pub use topics_origin::{TopicsOrigin, topics_origin, topics_origins};

mod topics_cluster;
pub use topics_cluster::{cluster, cluster_at, cluster_of, is_data, make, topic_changes};

mod topics_pipelines;
pub use topics_pipelines::pipelines;

mod saga;
pub use saga::{Driving, Sagas, Tracks, saga_service, sagas, store_failure};
