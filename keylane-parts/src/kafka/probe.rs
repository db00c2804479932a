//! Asks a broker, in its own protocol, whether it answers, how many brokers it sees, and who leads what.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_millis(1_000);
const ANSWER_BYTES_MAX: u32 = 1 << 20;
const METADATA: i16 = 3;

/// A partition as the cluster has it; nodes count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaPartition {
    /// Its topic.
    pub topic: String,
    /// Its number, from 0.
    pub partition: u32,
    /// The node that leads it; `None` while nobody does.
    pub leader: Option<u32>,
    /// The nodes that have a copy; the first is the one that leads it by preference.
    pub copies: Vec<u32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<u32>,
}

/// What a broker says of its cluster.
pub(crate) struct Seen {
    pub(crate) brokers: u32,
    pub(crate) partitions: Vec<KafkaPartition>,
}

/// The number of brokers that the broker on `port` names, or nothing when it does not answer.
pub(crate) fn brokers_seen(port: u16) -> Option<u32> {
    seen(port).map(|seen| seen.brokers)
}

/// What the broker on `port` tells in a Metadata answer (version 0), or nothing when it does not answer.
pub(crate) fn seen(port: u16) -> Option<Seen> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    stream.write_all(&metadata_request()).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length = u32::from_be_bytes(length);
    if length > ANSWER_BYTES_MAX {
        return None;
    }
    let mut answer = vec![0; usize::try_from(length).ok()?];
    stream.read_exact(&mut answer).ok()?;
    Answer(&answer).metadata()
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

/// What is left to read of an answer.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn metadata(mut self) -> Option<Seen> {
        let _correlation = self.number()?;
        let brokers = self.all(|broker| {
            let _id = broker.number()?;
            let _host = broker.text()?;
            broker.number() // port
        })?;
        let topics = self.all(|topic| {
            let _error = topic.short()?;
            let name = topic.text()?;
            topic.all(|partition| partition.partition(&name))
        })?;
        Some(Seen {
            brokers: u32::try_from(brokers.len()).ok()?,
            partitions: topics.into_iter().flatten().collect(),
        })
    }

    fn partition(&mut self, topic: &str) -> Option<KafkaPartition> {
        let _error = self.short()?;
        Some(KafkaPartition {
            topic: topic.to_owned(),
            partition: u32::try_from(self.number()?).ok()?,
            // −1 is nobody.
            leader: u32::try_from(self.number()?).ok(),
            copies: self.all(|copy| u32::try_from(copy.number()?).ok())?,
            in_sync: self.all(|copy| u32::try_from(copy.number()?).ok())?,
        })
    }

    fn all<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        (0..count).map(|_| one(self)).collect()
    }

    fn number(&mut self) -> Option<i32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*bytes))
    }

    fn short(&mut self) -> Option<i16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*bytes))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.short()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}
