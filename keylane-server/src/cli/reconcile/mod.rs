//! `keylane reconcile`: compare two databases' tables, and see what was found.

mod arguments;
pub use arguments::ReconcileArguments;

mod compare;
pub(super) use compare::run;

mod show;
