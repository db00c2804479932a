//! Everything the demo plays with: the folder, the services' files, the configuration, who begins trips.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use keylane::Outbox;
use keylane::outbox::OutboxEvent;
use keylane::saga::orchestrator::{Desk, SagaRequest};
use keylane_core::saga::{Filter, State};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rusqlite::Connection;
use serde_json::Value;

use super::super::show::{Any, any};
use super::processes::Processes;
use super::travel::{ORDERED, ORDERS, Service, trip};
use crate::cli::demo::{Folder, Leaves};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::saga::{show_text, tracked_text};
use crate::wire_up::{Sagas, sagas};

/// What it leaves in its folder.
const LEAVES: Leaves = Leaves {
    databases: &["shop.db", "flight.db", "hotel.db", "payment.db"],
    others: &[
        "keylane.yaml",
        "travel.yaml",
        "trip.yaml",
        "keylane.log",
        "flight.log",
        "hotel.log",
        "payment.log",
        ".keylane",
    ],
};
const DEFINITION: &str = include_str!("travel.yaml");
const CHOREOGRAPHY: &str = include_str!("trip.yaml");
/// Sagas that are asked for at once.
const PAGE: usize = 500;

/// The stage.
pub struct Stage {
    /// Where it is.
    pub folder: Folder,
    /// What each service had at the start.
    pub begun: Vec<(Service, i64)>,
    /// The sagas that were begun, by their ids; those that nobody drives, and those that are driven.
    pub heard_of: Vec<String>,
    pub driven: Vec<String>,
    /// The processes.
    pub processes: Processes,
    sagas: Sagas,
    desk: Desk,
    shop: Connection,
    dice: StdRng,
}

fn cannot(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Error, format!("the demo cannot {what}: {error}"))
}

impl Stage {
    /// Sets it, for about so many trips, and starts the processes.
    ///
    /// # Errors
    /// If the folder cannot be used, a file not be made, or a process not be started.
    pub async fn set(dir: Option<&Path>, trips: u64, seed: u64) -> Result<Self, Failure> {
        let folder = Folder::take(dir, LEAVES)?;
        let mut dice = StdRng::seed_from_u64(seed);
        let mut begun = Vec::new();
        for service in Service::ALL {
            let made = service.make(folder.path(), trips, &mut dice);
            made.map_err(|error| cannot("make a service's file", &error))?;
            let participant = service.participant(folder.path()).await;
            participant.map_err(|error| cannot("make a service's tables", &error))?;
            let choreography = service.choreography(folder.path()).await;
            choreography.map_err(|error| cannot("make a service's tables", &error))?;
            let stock = super::proof::stock(service, folder.path());
            begun.push((
                service,
                stock.map_err(|error| cannot("read a service's file", &error))?,
            ));
        }
        let shop = shop(&folder.file("shop.db"));
        let shop = shop.map_err(|error| cannot("make the shop's file", &error))?;
        let ports = free_ports().map_err(|error| cannot("find free ports", &error))?;
        let config = configuration(&folder, ports)?;
        fs::create_dir_all(&config.state_dir).map_err(|error| cannot("make a folder", &error))?;
        let sagas = sagas(&config).await?;
        let processes = Processes::start(folder.path(), ports);
        Ok(Stage {
            begun,
            heard_of: Vec::new(),
            driven: Vec::new(),
            processes: processes.map_err(|error| cannot("start its processes", &error))?,
            desk: Desk::new(sagas.store.clone(), sagas.plans.clone()),
            sagas,
            shop,
            folder,
            dice,
        })
    }

    /// How many trips were begun.
    pub fn trips(&self) -> u64 {
        (self.heard_of.len() + self.driven.len()) as u64
    }

    /// Begins the next trip: one is driven, the next goes from event to event.
    ///
    /// # Errors
    /// If it cannot be begun.
    pub async fn begin(&mut self) -> Result<(), Failure> {
        let trip = trip(&mut self.dice);
        match self.trips().is_multiple_of(2) {
            true => self.drive(trip).await,
            false => self
                .order(&trip)
                .map_err(|error| cannot("order a trip", &error)),
        }
    }

    async fn drive(&mut self, trip: Value) -> Result<(), Failure> {
        let request = SagaRequest {
            definition: "travel".to_owned(),
            version: None,
            key: Some(format!("trip-{}", self.trips())),
            data: trip,
        };
        let plan = request.plan(&self.sagas.plans);
        let plan = plan.map_err(|error| cannot("begin a saga", &error))?;
        let number = request.number();
        let begun = self.desk.begin(plan, request.start(), number).await;
        let begun = begun.map_err(|error| cannot("begin a saga", &error))?;
        self.driven.push(begun.id);
        Ok(())
    }

    /// The order and its event, in one transaction of the shop's.
    fn order(&mut self, trip: &Value) -> Result<(), Box<dyn std::error::Error>> {
        let saga = format!("trip-{}", self.trips());
        let event = OutboxEvent::new(ORDERS, ORDERED)
            .key(saga.as_str())
            .json(trip)
            .header("ce_correlationid", saga.as_str());
        let transaction = self.shop.transaction()?;
        transaction.execute(
            "INSERT INTO orders (saga, trip) VALUES (?1, ?2)",
            [&saga, &trip.to_string()],
        )?;
        Outbox::default().put_sqlite(&transaction, &event)?;
        transaction.commit()?;
        self.heard_of.push(saga);
        Ok(())
    }

    /// Where every trip stands that Keylane knows of, by what it says.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn states(&self) -> Result<Vec<(String, State)>, Failure> {
        let mut states = Vec::new();
        let mut filter = Filter {
            states: vec![
                State::Running,
                State::Compensating,
                State::Stuck,
                State::Completed,
                State::Compensated,
            ],
            limit: PAGE,
            ..Filter::default()
        };
        loop {
            let page = self.sagas.desk.list(&filter).await;
            let page = page.map_err(|error| cannot("read its store", &error))?;
            let Some(last) = page.last() else { break };
            filter.behind = Some(last.id.clone());
            states.extend(page.iter().map(|it| (it.id.clone(), it.state)));
        }
        Ok(states)
    }

    /// All of a saga, for people.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn text(&self, id: &str) -> Result<String, Failure> {
        Ok(match any(&self.sagas, id).await? {
            Any::Driven(shown, plan) => show_text(&shown, &plan),
            Any::Tracked(it) => tracked_text(&it, &self.sagas.tracks.known),
        })
    }
}

fn shop(path: &Path) -> Result<Connection, Box<dyn std::error::Error>> {
    let shop = Connection::open(path)?;
    shop.busy_timeout(std::time::Duration::from_secs(20))?;
    shop.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE orders (saga TEXT PRIMARY KEY, trip TEXT NOT NULL)",
    )?;
    Outbox::default().create_sqlite(&shop)?;
    Ok(shop)
}

/// Ports that nobody has now. The services take them again after each kill.
fn free_ports() -> std::io::Result<[u16; 3]> {
    let mut taken = Vec::new();
    for _ in Service::ALL {
        taken.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    }
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&taken) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Writes the configuration, which `keylane run` takes as it is.
fn configuration(folder: &Folder, ports: [u16; 3]) -> Result<Config, Failure> {
    let participant = |(service, port): (Service, u16)| {
        let name = service.name();
        format!("    {name}: {{ http: \"http://127.0.0.1:{port}/\" }}\n")
    };
    let participants: String = Service::ALL
        .into_iter()
        .zip(ports)
        .map(participant)
        .collect();
    let pipeline = |name: &str, topic: &str| {
        format!(
            "  {name}:\n    origin: {{ sqlite: {{ path: {name}.db }} }}\n    outbox: {{ topics: [{topic}] }}\n    topics: {{ partitions: 4 }}\n"
        )
    };
    let services = Service::ALL.map(|service| pipeline(service.name(), &service.topic()));
    let text = format!(
        "# The demo's configuration: SQLite files and the embedded log, no service needed. `keylane run` takes it as it is.\nversion: 1\nstate_dir: .keylane\nhttp: {{ listen: off }}\nlog: {{ embedded: {{ path: {} }} }}\nsaga:\n  definitions: [travel.yaml]\n  choreographies: [trip.yaml]\n  participants:\n{participants}  lease: 2s\npipelines:\n{}{}",
        super::service::LOG,
        pipeline("shop", ORDERS),
        services.concat(),
    );
    let path = folder.file("keylane.yaml");
    let written = fs::write(folder.file("travel.yaml"), DEFINITION);
    written
        .and_then(|()| fs::write(folder.file("trip.yaml"), CHOREOGRAPHY))
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| cannot("write its configuration", &error))?;
    Config::load(&path).map_err(|error| cannot("use its configuration", &error))
}
