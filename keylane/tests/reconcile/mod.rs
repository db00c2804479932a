//! Two databases compared: what differs is found, whatever it is and wherever it lies, and nothing else; and mended.

mod bed;
mod checksums;
mod journal;
mod keys;
mod kinds;
mod looks;
mod mending;
mod pairs;
mod resume;
