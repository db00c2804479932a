//! Reconcile: what is wrong between origin and replica, how that is proved, and what may be mended.
//!
//! Both sides are read in ranges of the key ([`Range`]) and compared as bytes ([`compare`]); what differs is only a [`Suspect`]: the sides were read at two moments, and
//! values may be spelt in two ways. Suspects are read again by key, as values ([`sameness`]), around a mark that passed through the whole road ([`judge`]): what still differs then, and
//! was not touched meanwhile, is proved. What the mending of proved rows may do is bounded by [`Brakes`].

mod encoded;
pub use encoded::{EncodedRow, push_cell};

mod kind;
pub use kind::Kind;

mod sameness;
pub use sameness::{Sameness, sameness};

mod decimal;

mod key_cell;

mod plan;
pub use plan::{Engine, Paired, Refusal, SideColumn, SideTable, TablePlan, Told, Which, plan};

mod compare;
pub use compare::{Compared, Suspect, compare};

mod method;
pub use method::{Changed, Choice, How, Method};

mod chunk;
pub use chunk::ChunkSize;

mod verdict;
pub use verdict::{Difference, Found, Judged, Look, TRIES_MAX, difference, judge};

mod cause;
pub use cause::{Cause, cause};

mod finding;
pub use finding::{Figures, Finding, Outcome};

mod mend;
pub use mend::{Mend, mend, unmend};

mod brakes;
pub use brakes::{Brakes, Refused};

mod self_test;
pub use self_test::{Untrue, self_test};

mod port;
pub use port::{
    Checksum, Key, Mender, Passage, PassageError, Range, Scanned, Side, SideError, SideErrorKind,
    Touched,
};
