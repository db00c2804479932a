//! Asks Connect, over its own HTTP interface, how its connectors are.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Whether `connector` and at least one task of it run, and nothing of it has failed.
pub(crate) fn runs(rest_port: u16, connector: &str) -> bool {
    get(rest_port, &format!("/connectors/{connector}/status")).is_some_and(|status| {
        let running = status.matches("\"state\":\"RUNNING\"").count();
        running >= 2 && !status.contains("\"FAILED\"") && !status.contains("\"UNASSIGNED\"")
    })
}

/// Headers and body as they come.
fn get(port: u16, path: &str) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
