//! Remora's agent: from probes to spans.
//!
//! The modules stand in the order of the data: [`probes`] attach, [`capture`] reads, [`stream`] reassembles,
//! [`protocol`] parses, [`telling`] hands on what it says to [`metrics`] and [`trace`]. [`identity`] names who took part, [`coverage`] counts what was lost, and
//! [`pipeline`] puts the way together.

pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod coverage;
pub mod doctor;
pub mod identity;
pub mod inspect;
pub mod metrics;
pub mod pipeline;
pub mod probes;
pub mod protocol;
pub mod stream;
pub mod telling;
pub mod trace;
