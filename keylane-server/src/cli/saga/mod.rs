//! `keylane saga`: transactions that span services.

mod arguments;
pub(super) use arguments::{SagaArguments, run};

mod check;

mod demo;

mod serve;

mod start;

mod list;

mod show;

mod act;
