//! What Keylane writes beside each record: one header, `keylane`, in readable text, so that any console reader shows it.
//!
//! `1 k=c e=2f p=16b3748.3 f=16b3000.0 h=5f3a09d1 d=1f00aa.3.9e3779b1.16b3748.1` reads: version 1, a change, of capture epoch 0x2f, at position
//! (0x16b3748, 3), depending on everything up to 16b3000.0, ordered by hash 5f3a09d1, and on the change at 16b3748.1 in partition 3 of the topic whose
//! name hashes to 1f00aa. Numbers are hexadecimal. In topics of events `o=9f…` names the pipeline whose epoch and position these are.

use std::fmt::Write as _;

use crate::model::{Epoch, OrderHash, Position, SchemaId, fingerprint};

/// The header's name.
pub const HEADER_NAME: &str = "keylane";

/// What kind of record this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// A change of a row or a table.
    Change,
    /// A tombstone behind a delete, for compacted topics; carries nothing.
    Tombstone,
    /// A capturer opened its epoch in this partition: data of other epochs behind it does not count.
    Open,
    /// Everything up to the header's position is in this partition.
    Marker,
    /// A table's schema; the value describes it.
    Schema,
    /// A piece of the capturer's own state, in the control topic only.
    State,
}

impl RecordKind {
    const LETTERS: [(RecordKind, char); 6] = [
        (RecordKind::Change, 'c'),
        (RecordKind::Tombstone, 't'),
        (RecordKind::Open, 'o'),
        (RecordKind::Marker, 'm'),
        (RecordKind::Schema, 's'),
        (RecordKind::State, 'x'),
    ];

    fn letter(self) -> char {
        Self::LETTERS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or('c', |(_, letter)| *letter)
    }

    fn of_letter(text: &str) -> Option<Self> {
        Self::LETTERS
            .iter()
            .find(|(_, letter)| text.chars().eq([*letter]))
            .map(|(kind, _)| *kind)
    }
}

/// One change that must be applied before another: named by where it is in the log, so that only that lane is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dependency {
    /// Murmur2 of the topic's name.
    pub topic_hash: u32,
    /// The partition.
    pub partition: u32,
    /// The order hash: together with the lane count it names the lane.
    pub order: OrderHash,
    /// The change's position.
    pub position: Position,
}

/// What must be applied before a change may be: see `capture::WriteSet`, which stamps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Everything up to and including this position, in every partition.
    pub floor: Position,
    /// And each of these changes. At most [`Stamp::DEPENDENCIES_MAX`]; more are folded into the floor.
    pub dependencies: Vec<Dependency>,
}

impl Stamp {
    /// How many single dependencies a stamp holds.
    pub const DEPENDENCIES_MAX: usize = 8;
}

/// Which pipeline's outbox an event came from. Several may write into one topic, each with epochs and positions of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u64);

impl SourceId {
    /// Of the pipeline with this prefix.
    pub fn of(prefix: &str) -> Self {
        SourceId(fingerprint(prefix))
    }
}

/// The header's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What kind of record.
    pub kind: RecordKind,
    /// Its capturer's epoch.
    pub epoch: Epoch,
    /// The change's position; for a marker, the position up to which everything is in the partition.
    pub position: Position,
    /// What it waits for.
    pub stamp: Stamp,
    /// The order key's hash, if the record's own key is not the order key.
    pub order: Option<OrderHash>,
    /// The schema of the value.
    pub schema: Option<SchemaId>,
    /// When the origin committed, microseconds since 1970; 0 if unknown.
    pub committed_at_us: i64,
    /// In a topic of events: whose epoch and position these are. `None` in a pipeline's own topics.
    pub source: Option<SourceId>,
}

/// Why a header could not be read. The text never holds the header's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Not ASCII text, or longer than [`Header::BYTES_MAX`].
    NotText,
    /// A version that this program does not know.
    UnknownVersion,
    /// A field is missing or malformed.
    Malformed,
}

impl Header {
    /// The longest header that is read.
    pub const BYTES_MAX: usize = 2048;

    /// A header without stamp, schema or order of its own.
    pub fn plain(kind: RecordKind, epoch: Epoch, position: Position) -> Self {
        Header {
            kind,
            epoch,
            position,
            stamp: Stamp::default(),
            order: None,
            schema: None,
            committed_at_us: 0,
            source: None,
        }
    }

    /// The header as text.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(64);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "1 k={} e={:x} p={}",
            self.kind.letter(),
            self.epoch.0,
            self.position
        );
        if self.stamp.floor > Position::ZERO {
            let _ = write!(text, " f={}", self.stamp.floor);
        }
        if let Some(order) = self.order {
            let _ = write!(text, " h={:x}", order.0);
        }
        if let Some(schema) = self.schema {
            let _ = write!(text, " s={:x}", schema.0);
        }
        if self.committed_at_us != 0 {
            let _ = write!(text, " t={}", self.committed_at_us);
        }
        if let Some(source) = self.source {
            let _ = write!(text, " o={:x}", source.0);
        }
        for dependency in &self.stamp.dependencies {
            let Dependency {
                topic_hash,
                partition,
                order,
                position,
            } = dependency;
            let _ = write!(
                text,
                " d={topic_hash:x}.{partition:x}.{:x}.{position}",
                order.0
            );
        }
        text
    }

    /// Reads a header.
    ///
    /// # Errors
    /// If it is not text, of another version, or malformed; unknown fields are passed over, so that later versions may add some.
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        if bytes.len() > Self::BYTES_MAX {
            return Err(HeaderError::NotText);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| HeaderError::NotText)?;
        let mut fields = text.split(' ');
        if fields.next() != Some("1") {
            return Err(HeaderError::UnknownVersion);
        }
        let (mut kind, mut epoch, mut position) = (None, None, None);
        let mut header = Header::plain(RecordKind::Change, Epoch(0), Position::ZERO);
        for field in fields {
            let (name, value) = field.split_once('=').ok_or(HeaderError::Malformed)?;
            match name {
                "k" => kind = RecordKind::of_letter(value),
                "e" => epoch = hex64(value),
                "p" => position = value.parse().ok(),
                "f" => header.stamp.floor = value.parse().map_err(|()| HeaderError::Malformed)?,
                "h" => header.order = Some(OrderHash(hex32(value).ok_or(HeaderError::Malformed)?)),
                "s" => header.schema = Some(SchemaId(hex64(value).ok_or(HeaderError::Malformed)?)),
                "t" => {
                    header.committed_at_us = value.parse().map_err(|_| HeaderError::Malformed)?
                }
                "o" => {
                    header.source = Some(SourceId(hex64(value).ok_or(HeaderError::Malformed)?));
                }
                "d" => header
                    .stamp
                    .dependencies
                    .push(dependency(value).ok_or(HeaderError::Malformed)?),
                _ => {}
            }
        }
        header.kind = kind.ok_or(HeaderError::Malformed)?;
        header.epoch = Epoch(epoch.ok_or(HeaderError::Malformed)?);
        header.position = position.ok_or(HeaderError::Malformed)?;
        Ok(header)
    }
}

fn hex64(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

fn hex32(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

fn dependency(text: &str) -> Option<Dependency> {
    let mut parts = text.splitn(4, '.');
    Some(Dependency {
        topic_hash: hex32(parts.next()?)?,
        partition: hex32(parts.next()?)?,
        order: OrderHash(hex32(parts.next()?)?),
        position: parts.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_its_own_text() {
        let header = Header {
            kind: RecordKind::Change,
            epoch: Epoch(47),
            position: Position::new(u64::MAX, 9),
            stamp: Stamp {
                floor: Position::new(5, 0),
                dependencies: vec![Dependency {
                    topic_hash: 1,
                    partition: 7,
                    order: OrderHash(u32::MAX),
                    position: Position::new(4, 2),
                }],
            },
            order: Some(OrderHash(3)),
            schema: Some(SchemaId(u64::MAX)),
            committed_at_us: 1_700_000_000_000_000,
            source: Some(SourceId(0xfeed)),
        };
        assert_eq!(Header::decode(header.encode().as_bytes()), Ok(header));
        let marker = Header::plain(RecordKind::Marker, Epoch(1), Position::new(1, 0));
        assert_eq!(Header::decode(marker.encode().as_bytes()), Ok(marker));
    }

    #[test]
    fn a_malformed_header_is_refused_and_a_field_of_a_later_version_is_passed_over() {
        for (bad, expect) in [
            (&b"\xff"[..], HeaderError::NotText),
            (b"", HeaderError::UnknownVersion),
            (b"2 k=c e=1 p=1.0", HeaderError::UnknownVersion),
            (b"1 k=c p=1.0", HeaderError::Malformed),
            (b"1 k=z e=1 p=1.0", HeaderError::Malformed),
            (b"1 k=c e=1 p=1", HeaderError::Malformed),
            (b"1 k=c e=1 p=1.0 d=1.2.3", HeaderError::Malformed),
            (b"1 k=c e=1 p=1.0 loose", HeaderError::Malformed),
        ] {
            assert_eq!(Header::decode(bad), Err(expect), "{bad:?}");
        }
        assert!(Header::decode(b"1 k=c e=1 p=1.0 zz=later").is_ok());
    }
}
