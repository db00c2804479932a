//! `tidy`: the house rules that neither the compiler nor clippy checks.

mod blank;
mod codes;
mod functions;
mod rules;
mod tree;

pub(crate) use rules::run;
