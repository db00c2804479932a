//! What a repair may do at most: a wrong table name, an emptied origin or a broken comparison must not empty a replica.

/// The bounds of one table's repair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brakes {
    /// Rows that are written at most.
    pub rows_max: u64,
    /// Their share of the larger side's rows at most, from 0 to 1.
    pub share_max: f64,
}

impl Default for Brakes {
    /// 10,000 rows and a tenth of the table.
    fn default() -> Self {
        Brakes {
            rows_max: 10_000,
            share_max: 0.1,
        }
    }
}

/// Tables of fewer rows are bounded by [`Brakes::rows_max`] alone: of ten rows, one is a tenth.
const SHARE_COUNTS_FROM: u64 = 1000;
/// An origin that has less than this part of the replica's rows is taken for broken.
const SHRUNKEN: f64 = 0.5;

/// Why a repair is not done.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// More rows than allowed.
    #[error(
        "{rows} rows are to be repaired, and a run may write {rows_max}; look at them with `keylane reconcile show`, then raise max_rows"
    )]
    TooManyRows {
        /// To be repaired.
        rows: u64,
        /// Allowed.
        rows_max: u64,
    },
    /// A larger part of the table than allowed.
    #[error(
        "{share:.1} % of the table is to be repaired, and a run may write {share_max:.1} %; look at it with `keylane reconcile show`, then raise max_share"
    )]
    TooLargeShare {
        /// In percent.
        share: f64,
        /// In percent.
        share_max: f64,
    },
    /// Rows would be deleted because the origin has none, or far fewer than the replica.
    #[error(
        "the origin has {rows_origin} rows and the replica {rows_replica}: nothing is deleted on the word of an origin that may have lost its rows; delete them by hand if that is right"
    )]
    OriginShrunken {
        /// At the origin.
        rows_origin: u64,
        /// At the replica.
        rows_replica: u64,
    },
}

impl Brakes {
    /// Whether so many rows may be written (`deleted` of them deleted), of tables with so many.
    ///
    /// # Errors
    /// [`Refused`]: nothing of the table is repaired.
    pub fn check(
        &self,
        (written, deleted): (u64, u64),
        (rows_origin, rows_replica): (u64, u64),
    ) -> Result<(), Refused> {
        let part = |one: u64, of: u64| one as f64 / of.max(1) as f64;
        let shrunken =
            part(rows_origin, rows_replica) < SHRUNKEN && rows_replica >= SHARE_COUNTS_FROM;
        if deleted > 0 && (rows_origin == 0 || shrunken) {
            return Err(Refused::OriginShrunken {
                rows_origin,
                rows_replica,
            });
        }
        if written > self.rows_max {
            return Err(Refused::TooManyRows {
                rows: written,
                rows_max: self.rows_max,
            });
        }
        let rows = rows_origin.max(rows_replica);
        let share = part(written, rows);
        if rows >= SHARE_COUNTS_FROM && share > self.share_max {
            return Err(Refused::TooLargeShare {
                share: share * 100.0,
                share_max: self.share_max * 100.0,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_stays_within_its_bounds() {
        let brakes = Brakes::default();
        let check =
            |written, deleted, origin, replica| brakes.check((written, deleted), (origin, replica));
        assert!(check(10, 10, 100, 110).is_ok());
        assert!(check(100_000, 0, 10_000_000, 9_900_000).is_err());
        assert!(matches!(
            check(1500, 0, 10_000, 10_000),
            Err(Refused::TooLargeShare { .. })
        ));
        assert!(matches!(
            check(5, 5, 0, 5),
            Err(Refused::OriginShrunken { .. })
        ));
        assert!(matches!(
            check(900, 900, 100, 1000),
            Err(Refused::OriginShrunken { .. })
        ));
        assert!(check(5, 0, 0, 5).is_ok());
    }
}
