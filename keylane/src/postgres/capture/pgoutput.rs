//! The pgoutput protocol, version 1: bytes to messages, without copying. Malformed bytes are an error, never a panic.

/// A message of the stream. Begin and Commit are told apart by the transport already.
#[derive(Debug, PartialEq)]
pub(super) enum Message<'a> {
    Relation(Relation<'a>),
    Insert {
        relation: u32,
        new: Tuple<'a>,
    },
    Update {
        relation: u32,
        old: Option<OldTuple<'a>>,
        new: Tuple<'a>,
    },
    Delete {
        relation: u32,
        old: OldTuple<'a>,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// A user-defined type's name, or the origin of a replicated transaction: nothing follows from them here.
    Nothing,
}

/// A table's shape as the log had it.
#[derive(Debug, PartialEq)]
pub(super) struct Relation<'a> {
    pub id: u32,
    pub schema: &'a str,
    pub name: &'a str,
    /// `d` default, `n` nothing, `f` full, `i` index.
    pub replica_identity: u8,
    pub columns: Vec<RelationColumn<'a>>,
}

/// A column of a [`Relation`].
#[derive(Debug, PartialEq)]
pub(super) struct RelationColumn<'a> {
    pub in_identity: bool,
    pub name: &'a str,
    pub type_oid: u32,
    pub type_modifier: i32,
}

/// A row's cells in column order.
pub(super) type Tuple<'a> = Vec<Cell<'a>>;

/// The row before a change.
#[derive(Debug, PartialEq)]
pub(super) enum OldTuple<'a> {
    /// The columns of the replica identity; the others are sent as NULL and mean nothing.
    Key(Tuple<'a>),
    /// The whole row.
    Whole(Tuple<'a>),
}

/// One column's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    /// Stored out of line and not changed: not sent.
    Unchanged,
    Text(&'a str),
}

/// What is wrong with the bytes, without the bytes.
#[derive(Debug, PartialEq)]
pub(super) struct Malformed {
    pub what: &'static str,
}

type Decoded<T> = Result<T, Malformed>;

/// One message.
pub(super) fn decode(bytes: &[u8]) -> Decoded<Message<'_>> {
    let mut rest = Cursor { bytes };
    let message = match rest.byte("message kind")? {
        b'R' => Message::Relation(relation(&mut rest)?),
        b'I' => {
            let relation = rest.u32("relation id")?;
            match rest.byte("tuple kind")? {
                b'N' => Message::Insert {
                    relation,
                    new: tuple(&mut rest)?,
                },
                _ => return malformed("an insert without a new row"),
            }
        }
        b'U' => update(&mut rest)?,
        b'D' => {
            let relation = rest.u32("relation id")?;
            match rest.byte("tuple kind")? {
                kind @ (b'K' | b'O') => Message::Delete {
                    relation,
                    old: old_tuple(kind, &mut rest)?,
                },
                _ => return malformed("a delete without an old row"),
            }
        }
        b'T' => {
            let count = rest.u32("relation count")?;
            let _options = rest.byte("truncate options")?;
            let mut relations = Vec::new();
            for _ in 0..count {
                relations.push(rest.u32("relation id")?);
            }
            Message::Truncate { relations }
        }
        b'Y' | b'O' => return Ok(Message::Nothing),
        _ => return malformed("an unknown kind of message"),
    };
    if rest.bytes.is_empty() {
        Ok(message)
    } else {
        malformed("bytes after a message's end")
    }
}

fn relation<'a>(rest: &mut Cursor<'a>) -> Decoded<Relation<'a>> {
    let id = rest.u32("relation id")?;
    let schema = rest.name("schema name")?;
    // The server leaves pg_catalog out.
    let schema = if schema.is_empty() {
        "pg_catalog"
    } else {
        schema
    };
    let name = rest.name("relation name")?;
    let replica_identity = rest.byte("replica identity")?;
    let count = rest.u16("column count")?;
    let mut columns = Vec::with_capacity(usize::from(count.min(1600)));
    for _ in 0..count {
        columns.push(RelationColumn {
            in_identity: rest.byte("column flags")? & 1 == 1,
            name: rest.name("column name")?,
            type_oid: rest.u32("type")?,
            type_modifier: rest.u32("type modifier")?.cast_signed(),
        });
    }
    Ok(Relation {
        id,
        schema,
        name,
        replica_identity,
        columns,
    })
}

fn update<'a>(rest: &mut Cursor<'a>) -> Decoded<Message<'a>> {
    let relation = rest.u32("relation id")?;
    let mut kind = rest.byte("tuple kind")?;
    let mut old = None;
    if matches!(kind, b'K' | b'O') {
        old = Some(old_tuple(kind, rest)?);
        kind = rest.byte("tuple kind")?;
    }
    if kind != b'N' {
        return malformed("an update without a new row");
    }
    Ok(Message::Update {
        relation,
        old,
        new: tuple(rest)?,
    })
}

fn old_tuple<'a>(kind: u8, rest: &mut Cursor<'a>) -> Decoded<OldTuple<'a>> {
    let cells = tuple(rest)?;
    Ok(if kind == b'K' {
        OldTuple::Key(cells)
    } else {
        OldTuple::Whole(cells)
    })
}

fn tuple<'a>(rest: &mut Cursor<'a>) -> Decoded<Tuple<'a>> {
    let count = rest.u16("cell count")?;
    let mut cells = Vec::with_capacity(usize::from(count.min(1600)));
    for _ in 0..count {
        cells.push(match rest.byte("cell kind")? {
            b'n' => Cell::Null,
            b'u' => Cell::Unchanged,
            b't' => {
                let length = rest.u32("cell length")?;
                let length = usize::try_from(length).map_err(|_| Malformed {
                    what: "a cell length beyond memory",
                })?;
                Cell::Text(text(
                    rest.take(length, "cell")?,
                    "a value that is not UTF-8 text",
                )?)
            }
            b'b' => return malformed("a binary value where text was asked for"),
            _ => return malformed("an unknown kind of cell"),
        });
    }
    Ok(cells)
}

fn text<'a>(bytes: &'a [u8], what: &'static str) -> Decoded<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| Malformed { what })
}

fn malformed<T>(what: &'static str) -> Decoded<T> {
    Err(Malformed { what })
}

/// What is left of a message.
struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize, what: &'static str) -> Decoded<&'a [u8]> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or(Malformed { what })?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Decoded<[u8; N]> {
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| Malformed { what })
    }

    fn byte(&mut self, what: &'static str) -> Decoded<u8> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    fn u16(&mut self, what: &'static str) -> Decoded<u16> {
        self.array(what).map(u16::from_be_bytes)
    }

    fn u32(&mut self, what: &'static str) -> Decoded<u32> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// A text that ends with a zero byte.
    fn name(&mut self, what: &'static str) -> Decoded<&'a str> {
        let end = self
            .bytes
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(Malformed { what })?;
        let name = self.take(end, what)?;
        let _zero = self.byte(what)?;
        text(name, what)
    }
}
