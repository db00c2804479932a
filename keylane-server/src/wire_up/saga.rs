//! Where sagas are kept, their definitions, and who drives them.

use std::collections::BTreeSet;
use std::sync::Arc;

use keylane::LogSettings;
use keylane::kafka::KafkaSettings;
use keylane::postgres::saga::PostgresSagas;
use keylane::saga::orchestrator::{
    Address, KafkaWay, Orchestrator, OrchestratorSettings, ParticipantSettings, Plans, StartsWay,
};
use keylane::saga::tracker::{TrackDesk, Tracker, TrackerSettings};
use keylane::sqlite::saga::SqliteSagas;
use keylane_core::saga::{
    Choreographies, Choreography, Plan, SagaDesk, SagaStore, StoreError, StoreErrorKind, TrackStore,
};

use tokio_util::sync::CancellationToken;

use super::roads::{embedded_options, kafka_settings};
use crate::config::{
    Config, KafkaLog, Log, Replica, SagaService, SagaStarts, SagaWay, load_choreography, load_saga,
    parse_saga,
};
use crate::exit_code::{Exit, Failure};

/// What PostgreSQL calls the connections.
const APPLICATION: &str = "keylane saga";

/// The sagas of a configuration.
pub struct Sagas {
    /// As who drives them sees them.
    pub store: Arc<dyn SagaStore>,
    /// As people see them.
    pub desk: Arc<dyn SagaDesk>,
    /// Their definitions: those of the configuration, and all that were kept before.
    pub plans: Arc<Plans>,
    /// Those that nobody drives.
    pub tracks: Tracks,
}

/// Choreographed sagas of a configuration.
#[derive(Clone)]
pub struct Tracks {
    /// Where what was heard of them is kept.
    pub store: Arc<dyn TrackStore>,
    /// The choreographies.
    pub known: Arc<Choreographies>,
    /// What is asked of them is asked here.
    pub desk: TrackDesk,
}

/// The block of a configuration.
///
/// # Errors
/// If there is none.
pub fn saga_service(config: &Config) -> Result<&SagaService, Failure> {
    config.saga.as_ref().ok_or_else(|| {
        let message = "the configuration has no block 'saga': add one, 'saga: {}' keeps sagas in a file of the state folder";
        Failure::new(Exit::Usage, message)
    })
}

/// Opens the store, makes what is missing there, and keeps the configuration's definitions.
///
/// # Errors
/// KL-SAGA-201 if the store cannot be used; KL-SAGA-203 if a definition is kept with another content; a definition's mistakes.
pub async fn sagas(config: &Config) -> Result<Sagas, Failure> {
    let service = saga_service(config)?;
    let own: Vec<Plan> = service
        .definitions
        .iter()
        .map(|path| load_saga(path).map_err(|error| Failure::new(Exit::Usage, error.to_string())))
        .collect::<Result<_, _>>()?;
    let known = Arc::new(choreographies(service)?);
    let Stores {
        store,
        desk,
        tracks,
    } = stores(config, service).await?;
    let registered = Plans::register(store.as_ref(), &own).await;
    registered.map_err(|error| match error.kind {
        StoreErrorKind::Refused => Failure::new(Exit::Usage, format!("KL-SAGA-203: {error}")),
        _ => store_failure(&error),
    })?;
    let plans = Arc::new(Plans::new(Arc::new(|body: &str| {
        parse_saga(body, "a kept definition").map_err(|error| error.to_string())
    })));
    plans
        .refresh(store.as_ref())
        .await
        .map_err(|error| store_failure(&error))?;
    let signal_topics = signal_topics(service);
    let tracks = Tracks {
        desk: TrackDesk::new(tracks.clone(), known.clone(), signal_topics),
        store: tracks,
        known,
    };
    Ok(Sagas {
        store,
        desk,
        plans,
        tracks,
    })
}

/// One store by each of its ports.
struct Stores {
    store: Arc<dyn SagaStore>,
    desk: Arc<dyn SagaDesk>,
    tracks: Arc<dyn TrackStore>,
}

impl Stores {
    fn of<T: SagaStore + SagaDesk + TrackStore + 'static>(store: T) -> Self {
        let store = Arc::new(store);
        Stores {
            store: store.clone(),
            desk: store.clone(),
            tracks: store,
        }
    }
}

async fn stores(config: &Config, service: &SagaService) -> Result<Stores, Failure> {
    let path = match &service.store {
        Some(Replica::Postgres { url }) => {
            let store = PostgresSagas::new(url.expose(), APPLICATION);
            let prepared = store.prepare().await;
            prepared.map_err(|error| store_failure(&error))?;
            return Ok(Stores::of(store));
        }
        Some(Replica::Sqlite { path }) => path.clone(),
        None => config.state_dir.join("saga.db"),
    };
    let store = SqliteSagas::open(path).await;
    Ok(Stores::of(store.map_err(|error| store_failure(&error))?))
}

/// The choreographies of a configuration, each under a name of its own.
fn choreographies(service: &SagaService) -> Result<Choreographies, Failure> {
    let mut known: Vec<Choreography> = Vec::new();
    for path in &service.choreographies {
        let read = load_choreography(path);
        let read = read.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        if known.iter().any(|it| it.name == read.name) {
            let message = format!(
                "{}: choreography {} is there already: give it another name",
                path.display(),
                read.name
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        known.push(read);
    }
    Ok(Choreographies::new(known, service.tracker.patience))
}

/// Where signals to sagas of no known choreography go.
fn signal_topics(service: &SagaService) -> Vec<String> {
    match &service.tracker.signal {
        Some(topic) => vec![topic.clone()],
        None => service.tracker.topics.clone(),
    }
}

/// How a command ends whose store did not do it.
pub fn store_failure(error: &StoreError) -> Failure {
    let exit = match error.kind {
        StoreErrorKind::Away => Exit::Unreachable,
        StoreErrorKind::Conflict | StoreErrorKind::Refused => Exit::Error,
    };
    Failure::new(exit, format!("KL-SAGA-201: {error}"))
}

/// Who drives them. Nothing runs yet.
///
/// # Errors
/// If TLS cannot be set up.
fn orchestrator(config: &Config, sagas: &Sagas) -> Result<Arc<Orchestrator>, Failure> {
    let service = saga_service(config)?;
    // No other process, and no earlier life of this one, has this name.
    let owner = format!("{}-{:016x}", std::process::id(), rand::random::<u64>());
    let mut settings = OrchestratorSettings::new(owner);
    settings.concurrency = service.concurrency;
    settings.hold = service.lease;
    settings.retention = service.retention;
    let reply_url = service.reply_url.as_ref();
    settings.reply_url = reply_url.map(|base| format!("{base}/v1/sagas/{{id}}/replies"));
    settings.kafka = kafka(config, service)?;
    settings.starts = starts(config, service)?;
    for (name, participant) in &service.participants {
        let address = match &participant.way {
            SagaWay::Http { url, auth_token } => Address::Http {
                url: url.expose().to_owned(),
                token: auth_token.as_ref().map(|token| token.expose().to_owned()),
            },
            SagaWay::Kafka { topic } => Address::Kafka {
                topic: topic.clone(),
            },
        };
        let settings_of = ParticipantSettings {
            address,
            concurrency: participant.concurrency.unwrap_or(service.concurrency),
        };
        settings.participants.insert(name.clone(), settings_of);
    }
    let (store, desk, plans) = (sagas.store.clone(), sagas.desk.clone(), sagas.plans.clone());
    Orchestrator::new(store, desk, plans, settings)
        .map(Arc::new)
        .map_err(|why| Failure::new(Exit::Error, why))
}

/// Who follows choreographed sagas, if there is anything to hear. Nothing runs yet.
///
/// # Errors
/// If the embedded log's folder cannot be made.
fn tracker(config: &Config, sagas: &Sagas) -> Result<Option<Arc<Tracker>>, Failure> {
    let service = saga_service(config)?;
    let (known, tracker) = (sagas.tracks.known.all(), &service.tracker);
    let of_events = known.iter().flat_map(|it| &it.topics);
    let mut topics: BTreeSet<&String> = of_events.chain(&tracker.topics).collect();
    let signals = known.iter().filter_map(|it| it.signal.as_ref());
    let signals: BTreeSet<&String> = signals.chain(&tracker.signal).collect();
    // Topics of events are their services' to make.
    let own_topics: Vec<String> = signals.difference(&topics).copied().cloned().collect();
    topics.extend(signals);
    if topics.is_empty() {
        return Ok(None);
    }
    let settings = TrackerSettings {
        log: log(config)?,
        group: tracker.group.clone(),
        topics: topics.into_iter().cloned().collect(),
        own_topics,
        known: sagas.tracks.known.clone(),
        source: "/keylane".to_owned(),
    };
    let tracker = Tracker::new(sagas.tracks.store.clone(), settings);
    Ok(Some(Arc::new(tracker)))
}

/// How participants that read topics are reached.
fn kafka(config: &Config, service: &SagaService) -> Result<Option<KafkaWay>, Failure> {
    let Some(topic) = &service.reply_topic else {
        return Ok(None);
    };
    let Log::Kafka(log) = &config.log else {
        let message = "saga.reply_topic is a topic of a cluster, and the log is the embedded one, over which participants are posted to: write the cluster under log.kafka";
        return Err(Failure::new(Exit::Usage, message));
    };
    Ok(Some(KafkaWay {
        settings: at_cluster(log),
        group: group(topic),
        reply_topic: topic.clone(),
    }))
}

/// Where events that begin sagas come in.
fn starts(config: &Config, service: &SagaService) -> Result<Option<StartsWay>, Failure> {
    let Some(SagaStarts { topic, dead_letter }) = &service.starts else {
        return Ok(None);
    };
    Ok(Some(StartsWay {
        log: log(config)?,
        group: group(topic),
        topic: topic.clone(),
        dead_letter: dead_letter.clone(),
    }))
}

/// One for each topic: two services at one cluster do not take each other's records.
fn group(topic: &str) -> String {
    format!("keylane-saga-{topic}")
}

/// How the log is reached.
fn log(config: &Config) -> Result<LogSettings, Failure> {
    match &config.log {
        Log::Kafka(log) => Ok(at_cluster(log).into()),
        Log::Embedded(log) => match embedded_options(log) {
            Ok(options) => Ok(options.into()),
            Err(error) => Err(Failure::new(Exit::Error, error.message)),
        },
    }
}

fn at_cluster(log: &KafkaLog) -> KafkaSettings {
    let mut settings = kafka_settings(log);
    "keylane-saga".clone_into(&mut settings.client_id);
    settings
}

/// Who drives sagas, and who follows those that nobody drives.
#[derive(Clone)]
pub struct Driving {
    /// Who drives them.
    pub orchestrator: Arc<Orchestrator>,
    /// Who follows the others, if there is anything to hear.
    pub tracker: Option<Arc<Tracker>>,
}

impl Driving {
    /// Of a configuration. Nothing runs yet.
    ///
    /// # Errors
    /// If TLS cannot be set up, or a cluster is needed and none is configured.
    pub fn of(config: &Config, sagas: &Sagas) -> Result<Self, Failure> {
        Ok(Driving {
            orchestrator: orchestrator(config, sagas)?,
            tracker: tracker(config, sagas)?,
        })
    }

    /// Drives and follows until `stop`, and takes in what is on its way. To be run once.
    pub async fn run(&self, stop: CancellationToken) {
        let tracks = async {
            if let Some(tracker) = &self.tracker {
                tracker.run(&stop, || self.orchestrator.shards()).await;
            }
        };
        tokio::join!(self.orchestrator.run(stop.clone()), tracks);
    }
}
