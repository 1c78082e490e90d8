//! A supervised reverse SSH tunnel for whoever must get in from anywhere.

pub mod files;
