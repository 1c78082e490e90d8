//! lanward's test rig.

pub mod house;
pub mod namespace;
pub mod report_line;
pub mod settings;
