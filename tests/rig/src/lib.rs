//! lanward's test rig.

pub mod broker;
pub mod libubox_json;
pub mod wire;
