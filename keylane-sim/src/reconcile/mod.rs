//! Comparison and repair under a live road: is a proved difference always one, are all found, and does mending never make a replica worse, whatever the interleaving?
//!
//! An origin whose rows change, go and come back with values they had before; a log that is behind it, and appliers that are behind the log, each partition for itself; rogue writes at the replica and records
//! that were lost on the way. The replica's rows as they should be, at each moment, are kept beside it: what is told as proved is checked against them.

mod variants;
pub use variants::SIMULATION;

mod road;

mod world;
