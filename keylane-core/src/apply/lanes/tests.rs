//! The lanes' rules, one sentence each.
