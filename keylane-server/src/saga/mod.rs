//! Sagas at the rim: what a definition comes to, what is wrong with one, and what is asked and told of sagas that run, as text and JSON.

mod turns;

mod plan_text;
pub use plan_text::plan_text;

mod plan_wire;
pub use plan_wire::{mistakes_wire, plan_wire};

mod choreography_view;
pub use choreography_view::{choreography_text, choreography_wire};

mod named;
pub use named::named;

mod filter;
pub use filter::{LIST_MAX, before_us, states};

mod view;
pub use view::{list_wire, listed_wire, shown_wire};

mod view_text;
pub use view_text::{list_text, show_text};

mod track_view;
pub use track_view::{tracked_listed, tracked_text, tracked_wire};
