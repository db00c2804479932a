//! Asks a broker, in its own protocol, whether it answers and how many brokers it sees.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_millis(1_000);
const ANSWER_BYTES_MAX: u32 = 1 << 20;
const METADATA: i16 = 3;

/// The number of brokers that the broker on `port` names in a Metadata answer (version 0), or nothing when it does not answer.
pub(crate) fn brokers_seen(port: u16) -> Option<u32> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    stream.write_all(&metadata_request()).ok()?;
    let length = read_u32(&mut stream)?;
    if !(8..=ANSWER_BYTES_MAX).contains(&length) {
        return None;
    }
    let _correlation = read_u32(&mut stream)?;
    read_u32(&mut stream)
}

fn metadata_request() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(0_i16.to_be_bytes()); // version
    body.extend(1_i32.to_be_bytes()); // correlation
    body.extend((-1_i16).to_be_bytes()); // no client id
    body.extend(0_i32.to_be_bytes()); // all topics
    let length = u32::try_from(body.len()).expect("a few bytes");
    let mut request = length.to_be_bytes().to_vec();
    request.extend(body);
    request
}

fn read_u32(stream: &mut TcpStream) -> Option<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).ok()?;
    Some(u32::from_be_bytes(bytes))
}
