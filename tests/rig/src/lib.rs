//! lanward's test rig.

pub mod daemon;
pub mod flood;
pub mod home;
pub mod house;
pub mod namespace;
pub mod probe;
pub mod report_line;
pub mod session;
pub mod settings;
pub mod tcp;
