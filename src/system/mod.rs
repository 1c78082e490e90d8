//! Input and output. Nothing in here decides anything: each module turns one of the kernel's or the system's interfaces
//! into values, and values into its requests.

pub mod alarm;
pub mod client;
pub mod clock;
pub mod conntrack;
pub mod defect;
pub mod import;
pub mod keeper;
pub mod keys;
pub mod links;
pub mod logger;
pub mod netlink;
pub mod nflog;
pub mod nftables;
pub mod privileges;
pub mod relays;
pub mod router;
pub mod storage;
pub mod ubus;
pub mod wireguard;
