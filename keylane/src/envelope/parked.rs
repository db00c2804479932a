//! Parked records read back when they are redriven.

use keylane_core::apply::ApplyError;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::Change;
use keylane_core::publish::Header;

use super::{SchemaCache, decode};

/// Reads a parked change back from the record as it came. What a replica needs of the envelope, so that it knows no format itself.
pub trait DecodeParked: Send + Sync {
    /// The change that a record's value and its `keylane` header say.
    ///
    /// # Errors
    /// `Corrupt`, in words without row values.
    fn decode_parked(&self, value: &[u8], header: Option<&str>) -> Result<Change, ApplyError>;
}

impl DecodeParked for SchemaCache {
    fn decode_parked(&self, value: &[u8], header: Option<&str>) -> Result<Change, ApplyError> {
        let unreadable = |why: String| {
            let message = format!("a parked record cannot be read: {why}");
            ApplyError::new(ApplyErrorKind::Corrupt, message)
        };
        let header = match header {
            Some(text) => Some(Header::decode(text.as_bytes()).map_err(|_| {
                unreadable("its header is malformed or of a later version".to_owned())
            })?),
            None => None,
        };
        decode(value, header.as_ref(), self).map_err(|error| unreadable(error.to_string()))
    }
}
