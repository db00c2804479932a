//! Runs of comparisons: what is compared, kept, shown and told.

mod target;
pub use target::{Target, from_urls, of_pipelines};

mod run;
pub use run::{RunTerms, journal, last_compared, not_kept, resume, start, undo};

mod planned;
pub use planned::{Cell, Planned, PlannedRow};

mod claim;

mod repair;
pub use repair::RepairTerms;

mod keeper;

mod watch;

mod view;
pub use view::{RunView, TableView, finding_view};

mod schedule;
pub use schedule::Scheduling;

mod tell;
pub use tell::tell;

mod text;
pub use text::{rows_text, run_text};

mod trace;
pub use trace::{Reconciled, Trace, TracedRecord, trace};

mod trace_text;
pub use trace_text::trace_text;
