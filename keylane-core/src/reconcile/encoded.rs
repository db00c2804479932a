//! A row as bytes that are equal only for equal cells: each cell with its length before it, NULL as a length that no cell has.
//!
//! This is the form of PostgreSQL's binary `COPY`, whose rows are taken as they come. Cells without lengths run into each other: `('a', 'bc')` would be `('ab', 'c')`.

use bytes::Bytes;

/// What a NULL has in the place of its length.
const NULL: i32 = -1;

/// A row's cells, those of the key first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncodedRow(pub Bytes);

impl EncodedRow {
    /// Its first cells as bytes; all of it if it has fewer.
    pub fn head(&self, cells: usize) -> Bytes {
        let mut end = 0;
        for _ in 0..cells {
            let Some((_, next)) = cell_at(&self.0, end) else {
                break;
            };
            end = next;
        }
        self.0.slice(..end)
    }

    /// Its cells; `None` for NULL. Ends early where the bytes are not a row's.
    pub fn cells(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (cell, next) = cell_at(&self.0, at)?;
            at = next;
            Some(cell)
        })
    }

    /// Memory that it holds, for byte budgets.
    pub fn size_bytes(&self) -> usize {
        size_of::<EncodedRow>() + self.0.len()
    }
}

/// The cell that begins there, and where the next does.
fn cell_at(bytes: &[u8], at: usize) -> Option<(Option<&[u8]>, usize)> {
    let rest = bytes.get(at..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let begin = at + 4;
    match i32::from_be_bytes(*length) {
        NULL => Some((None, begin)),
        length => {
            let length = usize::try_from(length).ok()?;
            Some((Some(rest.get(..length)?), begin + length))
        }
    }
}

/// Appends a cell. One of 2 GiB or more, which no database has, is cut off there and so unequal to what it was.
pub fn push_cell(row: &mut Vec<u8>, cell: Option<&[u8]>) {
    let Some(cell) = cell else {
        row.extend_from_slice(&NULL.to_be_bytes());
        return;
    };
    let length = i32::try_from(cell.len()).unwrap_or(i32::MAX);
    row.extend_from_slice(&length.to_be_bytes());
    row.extend(cell.iter().take(usize::try_from(length).unwrap_or(0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[Option<&[u8]>]) -> EncodedRow {
        let mut bytes = Vec::new();
        cells.iter().for_each(|cell| push_cell(&mut bytes, *cell));
        EncodedRow(bytes.into())
    }

    #[test]
    fn rows_are_equal_only_if_their_cells_are() {
        let rows = [
            row(&[Some(b"a"), Some(b"bc")]),
            row(&[Some(b"ab"), Some(b"c")]),
            row(&[Some(b"abc"), Some(b"")]),
            row(&[Some(b"abc"), None]),
            row(&[None, Some(b"abc")]),
            row(&[Some(b"abc")]),
        ];
        for (at, one) in rows.iter().enumerate() {
            for (other_at, other) in rows.iter().enumerate() {
                assert_eq!(one == other, at == other_at, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn cells_come_back_and_the_head_ends_behind_its_last_cell() {
        let cells: [Option<&[u8]>; 4] = [Some(b"k"), None, Some(b""), Some(b"x")];
        let row = row(&cells);
        assert_eq!(row.cells().collect::<Vec<_>>(), cells);
        assert_eq!(row.head(2).len(), 5 + 4);
        assert_eq!(row.head(9), row.0);
    }

    #[test]
    fn bytes_that_are_no_row_end_it() {
        for bytes in [&b"\0\0"[..], b"\0\0\0\x05ab", b"\x80\0\0\0"] {
            let row = EncodedRow(Bytes::copy_from_slice(bytes));
            assert_eq!(row.cells().count(), 0, "{bytes:?}");
            assert!(row.head(1).is_empty());
        }
    }
}
