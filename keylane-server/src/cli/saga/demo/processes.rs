//! The demo's four processes over all their lives: killed at random moments, started again, asked to drain.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;

use super::travel::Service;
use crate::cli::demo::{Process, evidence_in, in_words};

/// A process may take this long to end after SIGTERM.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `keylane run`: drives sagas and captures outboxes.
    Keylane,
    /// A service.
    Of(Service),
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 4] = [
        Role::Keylane,
        Role::Of(Service::Flight),
        Role::Of(Service::Hotel),
        Role::Of(Service::Payment),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Keylane => "keylane",
            Role::Of(service) => service.name(),
        }
    }
}

/// One kill to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// How long after the traffic began.
    pub at: Duration,
    /// Whom.
    pub role: Role,
}

/// When which process is killed: each at least once, one for about three seconds; not in the first and the last tenth of the time.
pub fn plan(traffic: Duration, dice: &mut StdRng) -> Vec<Kill> {
    let count = (traffic.as_secs() / 3).max(Role::ALL.len() as u64);
    let first = dice.random_range(0..Role::ALL.len());
    let roles = Role::ALL.into_iter().cycle().skip(first);
    let kill = |(slot, role): (u64, Role)| {
        let within = dice.random_range(0.0..1.0);
        let share = 0.1 + 0.8 * (slot as f64 + within) / count as f64;
        Kill {
            at: traffic.mul_f64(share),
            role,
        }
    };
    (0..count).zip(roles).map(kill).collect()
}

/// All four.
#[derive(Debug)]
pub struct Processes {
    folder: PathBuf,
    ports: [u16; 3],
    living: Vec<(Role, Process)>,
}

impl Processes {
    /// Starts them; the services listen on these ports.
    ///
    /// # Errors
    /// If one cannot be started.
    pub fn start(folder: &Path, ports: [u16; 3]) -> io::Result<Self> {
        let mut processes = Processes {
            folder: folder.to_owned(),
            ports,
            living: Vec::new(),
        };
        for role in Role::ALL {
            let process = processes.started(role)?;
            processes.living.push((role, process));
        }
        Ok(processes)
    }

    fn started(&self, role: Role) -> io::Result<Process> {
        let word = OsString::from;
        let folder = self.folder.as_os_str().to_owned();
        let arguments = match role {
            Role::Keylane => {
                let config = self.folder.join("keylane.yaml").into_os_string();
                vec![word("run"), word("--config"), config]
            }
            Role::Of(service) => {
                let port = self.ports[service as usize].to_string();
                let words = ["saga", "demo", "--serve", service.name(), "--port", &port];
                let words = words.map(word).into_iter();
                words.chain([word("--dir"), folder]).collect()
            }
        };
        Process::start(
            arguments.iter().map(OsString::as_os_str),
            &self.log_of(role),
        )
    }

    fn log_of(&self, role: Role) -> PathBuf {
        self.folder.join(format!("{}.log", role.name()))
    }

    /// kill -9, and a new life at once. Returns the process id of the killed one.
    ///
    /// # Errors
    /// If it cannot be killed or started again.
    pub fn kill(&mut self, role: Role) -> io::Result<u32> {
        let place = self.living.iter().position(|(living, _)| *living == role);
        let mut killed = 0;
        if let Some(place) = place {
            let (_, process) = self.living.swap_remove(place);
            killed = process.id();
            process.kill()?;
        }
        let process = self.started(role)?;
        self.living.push((role, process));
        Ok(killed)
    }

    /// A process that ended although nobody asked it to, in words.
    pub fn deserter(&mut self) -> Option<String> {
        let ended = self.living.iter_mut().find_map(|(role, process)| {
            let status = process.ended()?;
            Some((*role, status))
        });
        let (role, status) = ended?;
        let evidence = evidence_in(&self.log_of(role));
        Some(format!(
            "the {} process ended by itself with {}: {evidence}",
            role.name(),
            in_words(status)
        ))
    }

    /// SIGTERM to all, and waits. Returns what went wrong, in words.
    pub fn drain(&mut self) -> Vec<String> {
        for (_, process) in &self.living {
            process.ask_to_stop();
        }
        let mut wrong = Vec::new();
        for (role, process) in &mut self.living {
            if let Err(error) = process.drained(DRAIN_MAX) {
                wrong.push(format!("the {} process {error}", role.name()));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn every_process_is_killed_in_time_and_the_same_seed_kills_alike() {
        for seed in 0..100 {
            for seconds in [3, 20, 600] {
                let traffic = Duration::from_secs(seconds);
                let kills = plan(traffic, &mut StdRng::seed_from_u64(seed));
                let is_killed = |role: &Role| kills.iter().any(|kill| kill.role == *role);
                assert!(Role::ALL.iter().all(is_killed));
                assert!(kills.is_sorted_by_key(|kill| kill.at));
                assert!(kills.iter().all(|kill| kill.at <= traffic * 9 / 10));
                assert_eq!(kills, plan(traffic, &mut StdRng::seed_from_u64(seed)));
            }
        }
    }
}
