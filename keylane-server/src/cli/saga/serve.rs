//! `keylane saga serve`: drives sagas until told to stop.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cli::runtime;
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::http::{self, SagaPaths};
use crate::notify::Watching;
use crate::shutdown;
use crate::status::Observer;
use crate::wire_up::{Driving, EventIntake, sagas};

/// Drives them.
pub(super) fn run(config: &Config) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let stop = CancellationToken::new();
        shutdown::on_signal(stop.clone())?;
        let sagas = sagas(config).await?;
        let driving = Driving::of(config, &sagas)?;
        let observer = Arc::new(Observer::new(config, &[], &[])?);
        let paths = SagaPaths::new(&sagas, driving.clone());
        let served = CancellationToken::new();
        let service = http::serve(
            &config.http,
            &config.state_dir,
            observer.clone(),
            (EventIntake::of(config), Some(paths)),
            &served,
        );
        let service = service.await?;
        let watching = Watching::start(config, observer, Some(sagas.desk.clone()))?;
        info!("drives sagas: {}", sagas.plans.names().join(", "));
        if driving.tracker.is_some() {
            let known = sagas.tracks.known.all().iter();
            let names: Vec<&str> = known.map(|it| it.name.as_str()).collect();
            info!("follows choreographed sagas: {}", names.join(", "));
        }
        driving.run(stop).await;
        if let Some(watching) = watching {
            watching.end().await;
        }
        served.cancel();
        if let Some(service) = service {
            // It has nothing to finish that anybody waits for.
            service.await.ok();
        }
        Ok(Exit::Ok)
    })
}
