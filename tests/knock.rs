//! Knocks with real packets: the stock `knock` client, ready-made packets, scans and floods before a router with the daemon; and Debian's knockd
//! beside it, on the same packets. Each test has a house of its own.

#[path = "knock/answers.rs"]
mod answers;
#[path = "knock/beside_knockd.rs"]
mod beside_knockd;
#[path = "knock/flood.rs"]
mod flood;
#[path = "knock/model.rs"]
mod model;
#[path = "knock/scans.rs"]
mod scans;
#[path = "knock/scene.rs"]
mod scene;
#[path = "knock/sequences.rs"]
mod sequences;
#[path = "knock/stays.rs"]
mod stays;
#[path = "knock/told.rs"]
mod told;
