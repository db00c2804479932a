//! Two databases compared: what differs is found, whatever it is and wherever it lies, and nothing else.

mod bed;
mod keys;
mod kinds;
mod pairs;
mod resume;
