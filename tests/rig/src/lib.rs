//! lanward's test rig.

pub mod bench;
pub mod broker;
pub mod count;
pub mod daemon;
pub mod flood;
pub mod home;
pub mod house;
pub mod libubox_json;
pub mod namespace;
pub mod netifd;
pub mod node;
pub mod plain;
pub mod probe;
pub mod recent;
pub mod report_line;
pub mod scan;
pub mod segments;
pub mod servers;
pub mod session;
pub mod settings;
pub mod tap;
pub mod tcp;
pub mod web;
pub mod wire;
