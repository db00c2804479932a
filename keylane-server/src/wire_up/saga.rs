//! Where sagas are kept, their definitions, and who drives them.

use std::sync::Arc;

use keylane::kafka::KafkaSettings;
use keylane::postgres::saga::PostgresSagas;
use keylane::saga::orchestrator::{
    Address, KafkaWay, Orchestrator, OrchestratorSettings, ParticipantSettings, Plans, StartsWay,
};
use keylane::sqlite::saga::SqliteSagas;
use keylane_core::saga::{Plan, SagaDesk, SagaStore, StoreError, StoreErrorKind};

use super::roads::kafka_settings;
use crate::config::{
    Config, Log, Replica, SagaService, SagaStarts, SagaWay, load_saga, parse_saga,
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
    let (store, desk): (Arc<dyn SagaStore>, Arc<dyn SagaDesk>) = match &service.store {
        Some(Replica::Postgres { url }) => {
            let store = PostgresSagas::new(url.expose(), APPLICATION);
            store
                .prepare()
                .await
                .map_err(|error| store_failure(&error))?;
            let store = Arc::new(store);
            (store.clone(), store)
        }
        Some(Replica::Sqlite { path }) => file(path.clone()).await?,
        None => file(config.state_dir.join("saga.db")).await?,
    };
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
    Ok(Sagas { store, desk, plans })
}

async fn file(
    path: std::path::PathBuf,
) -> Result<(Arc<dyn SagaStore>, Arc<dyn SagaDesk>), Failure> {
    let store = SqliteSagas::open(path).await;
    let store = Arc::new(store.map_err(|error| store_failure(&error))?);
    Ok((store.clone(), store))
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
pub fn orchestrator(config: &Config, sagas: &Sagas) -> Result<Arc<Orchestrator>, Failure> {
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

/// How participants that read topics are reached.
fn kafka(config: &Config, service: &SagaService) -> Result<Option<KafkaWay>, Failure> {
    let Some(topic) = &service.reply_topic else {
        return Ok(None);
    };
    Ok(Some(KafkaWay {
        settings: cluster(config, "saga.reply_topic")?,
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
        settings: cluster(config, "saga.starts")?,
        group: group(topic),
        topic: topic.clone(),
        dead_letter: dead_letter.clone(),
    }))
}

/// One for each topic: two services at one cluster do not take each other's records.
fn group(topic: &str) -> String {
    format!("keylane-saga-{topic}")
}

fn cluster(config: &Config, key: &str) -> Result<KafkaSettings, Failure> {
    let Log::Kafka(log) = &config.log else {
        let message = format!("{key} names a topic of a cluster: write which under log.kafka");
        return Err(Failure::new(Exit::Usage, message));
    };
    let mut settings = kafka_settings(log);
    "keylane-saga".clone_into(&mut settings.client_id);
    Ok(settings)
}
