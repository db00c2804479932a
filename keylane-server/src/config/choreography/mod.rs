//! The definition of a choreographed saga as people write it: which events set which steps going, and where they are heard. Read and judged as [the definitions of driven sagas](super::saga) are.

mod definition;
pub(in crate::config) use definition::{TIME, ms};
pub use definition::{choreography_keys, choreography_reference_markdown};

mod findings;

mod load;
pub use load::{SagaFile, load_choreography, load_saga_file, parse_choreography};
