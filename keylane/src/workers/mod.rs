//! The thin loops that drive the pure steps: capture and apply.
