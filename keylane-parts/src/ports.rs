//! Free loopback ports that stay ours.
//!
//! Asking the kernel for "any port" and giving it back is not enough: between a kill and a restart on the same port some outgoing connection may be
//! given it. So ports come from below the range the kernel deals out, and a locked file claims each against the other processes that use this crate.

use crate::error::{IoContext, PartsError, Result};
use crate::install::user_id;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const LOWEST: u32 = 12_000;
const COUNT: u32 = 20_000;
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A claim on one loopback port, until it is dropped or the process ends.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    // The lock on this file is the claim.
    _claim: File,
}

impl PortLease {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Claims a port of 127.0.0.1 on which nothing listens.
///
/// # Errors
/// When the folder of claims cannot be written or every port is taken.
pub fn free_port() -> Result<PortLease> {
    // One folder for each user: they may not write into each other's.
    let claims = std::env::temp_dir().join(format!("keylane-ports-{}", user_id()));
    std::fs::create_dir_all(&claims).doing("creating the folder of port claims", &claims)?;
    for _ in 0..COUNT {
        // Spread the processes, so that they seldom meet.
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = std::process::id().wrapping_mul(7919);
        let number = LOWEST + start.wrapping_add(step) % COUNT;
        let port = u16::try_from(number).expect("the range ends below 65536");
        if let Some(lease) = claim(port, &claims.join(number.to_string())) {
            return Ok(lease);
        }
    }
    Err(PartsError::Invalid(format!(
        "no port of 127.0.0.1 is free between {LOWEST} and {}",
        LOWEST + COUNT
    )))
}

fn claim(port: u16, path: &std::path::Path) -> Option<PortLease> {
    let claim = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .ok()?;
    claim.try_lock().ok()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    Some(PortLease {
        port,
        _claim: claim,
    })
}
