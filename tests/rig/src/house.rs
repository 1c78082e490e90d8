//! A house out of network namespaces: hosts in the LAN, the VPN and the internet, and the router between them with a firewall
//! as fw4 writes it.
//!
//! ```text
//! lan  192.168.77.100 fd77::100 ─┐
//! lan2 192.168.77.101 fd77::101 ─┴ br-lan ┐         ┌ wan0  198.51.100.2 2001:db8:1::2 ─┐  internet  203.0.113.9  2001:db8:9::9
//! vpn  10.8.0.2 fd08::2 ───────────  vpn0 ┼ router ─┼ wan6  (IPv6 of its own)          ─┼
//! guest 192.168.78.100 fd78::100 ─ guest0 ┘         └ wanb0 192.0.2.2 2001:db8:2::2    ─┘  internet2 203.0.113.77 2001:db8:9::77
//! ```
//! `internet` and `internet2` are two addresses of one namespace; with a second WAN, `internet2` is behind it.

use crate::namespace::Namespace;
use crate::plain;
use crate::probe::{within, Way};
use crate::scratch::Scratch;
use crate::settings::{self, Firewall};
use lanward::system::nftables::Nftables;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Both, to go through.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// A host: a namespace and the host's addresses in it.
#[derive(Debug, Clone)]
pub struct Host {
    /// As in the picture.
    pub name: &'static str,
    /// Where it lives.
    pub namespace: Namespace,
    /// Unspecified for the router, which has many.
    pub v4: Ipv4Addr,
    /// Likewise.
    pub v6: Ipv6Addr,
}

impl Host {
    /// Its address.
    #[must_use]
    pub fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// Its address with a port.
    #[must_use]
    pub fn socket(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(family), port)
    }
}

/// One of netifd's interfaces with what it stands on.
#[derive(Debug, Clone)]
pub struct Interface {
    /// netifd's name: `wan`.
    pub name: &'static str,
    /// fw4's zone.
    pub zone: &'static str,
    /// netifd's protocol: `static`, `pppoe`, `none`.
    pub proto: &'static str,
    /// The device in the configuration (PPPoE's Ethernet, where `l3_device` is the PPP device).
    pub device: String,
    /// Where packets go; it need not be there while the interface is down.
    pub l3_device: String,
    /// Whether netifd has it up.
    pub up: bool,
    /// The router's address there.
    pub v4: Option<(Ipv4Addr, u8)>,
    /// Likewise.
    pub v6: Option<(Ipv6Addr, u8)>,
}

/// What kind of house.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    wan6: bool,
    second_wan: bool,
    guest: bool,
    pppoe: bool,
    plain: bool,
}

impl Plan {
    /// IPv6 on a WAN device of its own, as `wan6` over a tunnel is.
    #[must_use]
    pub fn with_wan6(mut self) -> Self {
        self.wan6 = true;
        self
    }

    /// A second WAN, `wanb` on `wanb0`; `internet2` is behind it.
    #[must_use]
    pub fn with_second_wan(mut self) -> Self {
        self.second_wan = true;
        self
    }

    /// A guest network in a zone of its own.
    #[must_use]
    pub fn with_guest(mut self) -> Self {
        self.guest = true;
        self
    }

    /// The WAN is PPPoE and not up yet: see [`House::raise_pppoe`].
    #[must_use]
    pub fn with_pppoe(mut self) -> Self {
        self.pppoe = true;
        self
    }

    /// The firewall is a [`plain`] one, without nft and without NAT. So is every house's where `LANWARD_RIG_FIREWALL` is `plain`.
    #[must_use]
    pub fn with_plain_firewall(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// The first namespace's, where the machine does not allow namespaces.
    ///
    /// # Panics
    /// If anything after that fails.
    pub fn build(mut self) -> io::Result<House> {
        self.plain |= std::env::var_os("LANWARD_RIG_FIREWALL").is_some_and(|firewall| firewall == "plain");
        House::build(self)
    }
}

/// The house. Dropped, or the process ended in whatever way, it is gone.
#[derive(Debug)]
pub struct House {
    hosts: BTreeMap<&'static str, Host>,
    router: Namespace,
    internet: Namespace,
    interfaces: Vec<Interface>,
    firewall: Firewall,
    is_plain: bool,
    directory: Scratch,
}

/// The port that the user forwards (IPv4) or opens (IPv6) to `lan`, by their own `redirect` and `rule`.
pub const REDIRECTED_PORT: u16 = 45000;
/// The port that `lan` opened for itself by UPnP.
pub const MAPPED_PORT: u16 = 46000;
/// The port on which the router itself answers the internet (think of WireGuard).
pub const ROUTER_PORT: u16 = 51820;

impl House {
    /// A house with a LAN, a VPN and one WAN for both families.
    #[must_use]
    pub fn plan() -> Plan {
        Plan::default()
    }

    fn build(plan: Plan) -> io::Result<Self> {
        let router = Namespace::new()?;
        let internet = Namespace::new()?;
        let directory = Scratch::for_everybody("house");
        let mut house = Self {
            hosts: BTreeMap::new(),
            router,
            internet,
            interfaces: settings::interfaces(),
            firewall: Firewall::default(),
            is_plain: plan.plain,
            directory,
        };
        house.router.sysctl("net/ipv4/ip_forward", "1")?;
        house.router.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        house.router.sysctl("net/netfilter/nf_conntrack_max", "262144").ok();
        // As OpenWrt has it: what stays on the bridge is not the firewall's.
        for family in ["ip", "ip6"] {
            house
                .router
                .sysctl(&format!("net/bridge/bridge-nf-call-{family}tables"), "0")
                .ok();
        }
        house.add_router_host();
        house.build_lan()?;
        house.build_leaf("vpn", "vpn0", (Ipv4Addr::new(10, 8, 0, 2), "fd08::2"))?;
        if plan.guest {
            house.interfaces.push(settings::guest());
            house.build_leaf("guest", "guest0", (Ipv4Addr::new(192, 168, 78, 100), "fd78::100"))?;
        }
        house.build_internet();
        house.build_wans(plan);
        house.reload_fw4();
        house.load_upnp();
        for part in ["config", "state", "run"] {
            fs::create_dir(house.directory.join(part))?;
        }
        house.write_settings();
        house.configure("config lanward 'lanward'\n\nconfig lan_only 'lan_only'\n\toption enabled '0'\n");
        Ok(house)
    }

    fn add_router_host(&mut self) {
        let namespace = self.router.clone();
        let router = Host {
            name: "router",
            namespace,
            v4: Ipv4Addr::UNSPECIFIED,
            v6: Ipv6Addr::UNSPECIFIED,
        };
        self.hosts.insert("router", router);
    }

    fn build_lan(&mut self) -> io::Result<()> {
        self.router.ip("link add br-lan type bridge forward_delay 0\n\
            addr add 192.168.77.1/24 dev br-lan\naddr add fd77::1/64 dev br-lan\nlink set br-lan up\n");
        for (number, name) in [(100, "lan"), (101, "lan2")] {
            let port = format!("port{number}");
            let v6 = format!("fd77::{number}");
            self.attach(
                name,
                &port,
                (Ipv4Addr::new(192, 168, 77, number), &v6),
                &format!("02:00:00:00:77:{number:02x}"),
            )?;
            self.router
                .ip(&format!("link set {port} master br-lan\nlink set {port} up\n"));
            self.default_routes(name, "192.168.77.1", "fd77::1");
        }
        Ok(())
    }

    /// A host on a device of its own, the router at `.1` and `::1`.
    fn build_leaf(&mut self, name: &'static str, device: &str, addresses: (Ipv4Addr, &str)) -> io::Result<()> {
        self.attach(name, device, addresses, "02:00:00:00:00:02")?;
        let interface = self
            .interfaces
            .iter()
            .find(|interface| interface.l3_device == device)
            .expect("it is declared");
        let (v4, v6) = (interface.v4.expect("declared"), interface.v6.expect("declared"));
        self.router.ip(&format!(
            "addr add {}/{} dev {device}\naddr add {}/{} dev {device}\nlink set {device} up\n",
            v4.0, v4.1, v6.0, v6.1
        ));
        self.default_routes(name, &v4.0.to_string(), &v6.0.to_string());
        Ok(())
    }

    fn attach(&mut self, name: &'static str, port: &str, addresses: (Ipv4Addr, &str), mac: &str) -> io::Result<()> {
        let namespace = Namespace::new()?;
        self.router.ip(&format!(
            "link add {port} type veth peer name eth0 address {mac} netns {}\n",
            namespace.path()
        ));
        namespace.ip(&format!(
            "addr add {}/24 dev eth0\naddr add {}/64 dev eth0\nlink set eth0 up\n",
            addresses.0, addresses.1
        ));
        let v6 = addresses.1.parse().expect("a literal address");
        self.hosts.insert(
            name,
            Host {
                name,
                namespace,
                v4: addresses.0,
                v6,
            },
        );
        Ok(())
    }

    fn default_routes(&self, name: &str, v4: &str, v6: &str) {
        self.host(name)
            .namespace
            .ip(&format!("route add default via {v4}\nroute add default via {v6}\n"));
    }

    fn build_internet(&mut self) {
        self.internet
            .ip("addr add 203.0.113.9/32 dev lo\naddr add 203.0.113.77/32 dev lo\n\
            addr add 2001:db8:9::9/128 dev lo\naddr add 2001:db8:9::77/128 dev lo\n");
        for (name, last) in [("internet", 9), ("internet2", 0x77)] {
            let v4 = Ipv4Addr::new(203, 0, 113, if last == 9 { 9 } else { 77 });
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, last);
            self.hosts.insert(
                name,
                Host {
                    name,
                    namespace: self.internet.clone(),
                    v4,
                    v6,
                },
            );
        }
    }

    fn build_wans(&mut self, plan: Plan) {
        if plan.second_wan {
            self.interfaces.push(settings::second_wan());
            self.connect("wanb0", 2);
            self.router
                .ip("addr add 192.0.2.2/24 dev wanb0\naddr add 2001:db8:2::2/64 dev wanb0\n\
                 route add 203.0.113.77/32 via 192.0.2.1\nroute add 2001:db8:9::77/128 via 2001:db8:2::1\n");
        }
        if plan.pppoe {
            self.interfaces[settings::WAN].become_pppoe();
            return;
        }
        self.connect("wan0", 1);
        self.router
            .ip("addr add 198.51.100.2/24 dev wan0\nroute add default via 198.51.100.1\n");
        if plan.wan6 {
            self.interfaces[settings::WAN].v6 = None;
            self.interfaces.push(settings::wan6());
            self.connect("wan6", 6);
            self.raise_v6("wan6", 6);
        } else {
            self.raise_v6("wan0", 1);
        }
        if self.is_plain {
            // Nothing stands for the hosts' own addresses.
            for inside in ["192.168.77.0/24", "10.8.0.0/24", "192.168.78.0/24"] {
                self.internet.ip(&format!("route add {inside} via 198.51.100.2\n"));
            }
        }
    }

    /// A cable from the router's `device` to the internet's end, which has the addresses of WAN `number`.
    fn connect(&self, device: &str, number: u8) {
        self.router.ip(&format!(
            "link add {device} type veth peer name to-{device} netns {}\nlink set {device} up\n",
            self.internet.path()
        ));
        let v4 = match number {
            2 => "addr add 192.0.2.1/24 dev to-wanb0\n".to_owned(),
            6 => String::new(),
            _ => format!("addr add 198.51.100.1/24 dev to-{device}\n"),
        };
        self.internet.ip(&format!(
            "{v4}addr add 2001:db8:{number}::1/64 dev to-{device}\nlink set to-{device} up\n"
        ));
    }

    /// IPv6 over `device`, and the way back.
    fn raise_v6(&self, device: &str, number: u8) {
        self.router.ip(&format!(
            "addr add 2001:db8:{number}::2/64 dev {device}\nroute add default via 2001:db8:{number}::1\n"
        ));
        let mut back = String::new();
        for inside in ["fd77::/64", "fd08::/64", "fd78::/64"] {
            let _ = writeln!(back, "route add {inside} via 2001:db8:{number}::2");
        }
        self.internet.ip(&back);
    }

    /// PPP comes up: the device `pppoe-wan` appears, gets its addresses and the default route; fw4 hears of it as by hotplug.
    pub fn raise_pppoe(&mut self) {
        let wan = &mut self.interfaces[settings::WAN];
        wan.up = true;
        let device = wan.l3_device.clone();
        self.connect(&device, 1);
        self.router.ip(&format!(
            "addr add 198.51.100.2/24 dev {device}\nroute add default via 198.51.100.1\n"
        ));
        self.raise_v6(&device, 1);
        self.reload_fw4();
    }

    /// The WAN's device gets another name; netifd's facts and fw4 follow.
    pub fn rename_wan(&mut self, to: &str) {
        let wan = &mut self.interfaces[settings::WAN];
        let from = std::mem::replace(&mut wan.l3_device, to.to_owned());
        wan.device = to.to_owned();
        self.router.ip(&format!(
            "link set {from} down\nlink set {from} name {to}\nlink set {to} up\nroute add default via 198.51.100.1\n"
        ));
        // IPv6 addresses and routes go with the link.
        self.router.ip(&format!(
            "addr add 2001:db8:1::2/64 dev {to}\nroute add default via 2001:db8:1::1\n"
        ));
        self.reload_fw4();
        self.write_settings();
    }

    /// The provider gives the WAN another address, in the same network; netifd's facts and fw4 follow. Connections from the old one are lost.
    ///
    /// # Panics
    /// If the WAN has no IPv4.
    pub fn readdress_wan(&mut self, to: Ipv4Addr) {
        let wan = &mut self.interfaces[settings::WAN];
        let device = wan.l3_device.clone();
        let (from, length) = wan.v4.replace((to, 24)).expect("it has one");
        self.router.ip(&format!(
            "addr del {from}/{length} dev {device}\naddr add {to}/{length} dev {device}\nroute replace default via 198.51.100.1\n"
        ));
        self.reload_fw4();
        self.write_settings();
    }

    /// The WAN's cable is pulled out at the far end, or put in again.
    ///
    /// # Panics
    /// If there is no WAN.
    pub fn plug_wan(&self, is_in: bool) {
        // Its own addresses of IPv6 are to be there afterwards.
        let _ = self.internet.sysctl("net/ipv6/conf/all/keep_addr_on_down", "1");
        let device = &self.interfaces[settings::WAN].l3_device;
        let state = if is_in { "up" } else { "down" };
        self.internet.ip(&format!("link set to-{device} {state}\n"));
    }

    /// Loads the firewall anew as `fw4 reload` does: its own table only.
    ///
    /// # Panics
    /// If the kernel refuses it.
    pub fn reload_fw4(&self) {
        if self.is_plain {
            let table = plain::fw4(&self.interfaces, &self.firewall);
            let applied = self.router.run(|| Nftables::open()?.apply(&table));
            return applied.unwrap_or_else(|error| panic!("the house's firewall: {error}"));
        }
        // Asked only where there may be one: not every kernel knows flow tables.
        let has_flow_table = self.firewall.flow_table.is_some() && {
            let tables = self.router.must("nft", &["list", "flowtables", "inet"], "");
            tables.contains("flowtable ft")
        };
        let fw4 = settings::fw4(&self.interfaces, &self.firewall);
        self.router.nft(&(settings::emptied_fw4(has_flow_table) + &fw4));
    }

    /// The firewall becomes another one: the settings are written, its table is loaded. What services publish stays.
    pub fn set_firewall(&mut self, firewall: Firewall) {
        let services = std::mem::take(&mut self.firewall.services);
        self.firewall = Firewall { services, ..firewall };
        self.write_settings();
        self.reload_fw4();
    }

    /// What services publish for fw4 becomes this: the array `firewall` of procd's service data. fw4 loads its table anew.
    ///
    /// # Panics
    /// If there is something in it that fw4 would not take.
    pub fn publish(&mut self, services: Vec<serde_json::Value>) {
        self.firewall.services = services;
        self.reload_fw4();
    }

    /// What miniupnpd sets up for a mapping of [`MAPPED_PORT`] (the IPv6 pinhole is in fw4's `upnp_forward`).
    pub fn load_upnp(&self) {
        if self.is_plain {
            return;
        }
        self.router.nft(&settings::upnp());
    }

    /// Writes `/etc/config/lanward`.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn configure(&self, text: &str) {
        fs::write(self.config_dir().join("lanward"), text).expect("a file in our own directory");
    }

    /// Writes `/etc/config/firewall` and `/etc/config/network` as the house is now.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub fn write_settings(&self) {
        for (name, text) in [
            ("firewall", settings::firewall(&self.interfaces, &self.firewall)),
            ("network", settings::network(&self.interfaces)),
        ] {
            fs::write(self.config_dir().join(name), text).expect("a file in our own directory");
        }
    }

    /// What `ubus call network.interface dump` gives in this house.
    #[must_use]
    pub fn interface_dump(&self) -> serde_json::Value {
        settings::interface_dump(&self.interfaces)
    }

    /// A host.
    ///
    /// # Panics
    /// If the house has none of that name.
    #[must_use]
    pub fn host(&self, name: &str) -> &Host {
        self.hosts
            .get(name)
            .unwrap_or_else(|| panic!("no host {name} in this house"))
    }

    /// The router's namespace.
    #[must_use]
    pub fn router(&self) -> &Namespace {
        &self.router
    }

    /// The router's address towards `lan` or `wan`.
    ///
    /// # Panics
    /// If that interface has none.
    #[must_use]
    pub fn router_address(&self, interface: &str, family: Family) -> IpAddr {
        let found = self
            .interfaces
            .iter()
            .find(|candidate| candidate.name == interface)
            .expect("an interface's name");
        match family {
            Family::V4 => found.v4.map(|(address, _)| address.into()),
            Family::V6 => found.v6.map(|(address, _)| address.into()),
        }
        .unwrap_or_else(|| panic!("{interface} has no {family:?} address"))
    }

    /// The way from the internet to the LAN host's open ports: over IPv4 through the router's address, over IPv6 to its own.
    #[must_use]
    pub fn way_in(&self, family: Family) -> Way<'_> {
        let way = self.way("internet", "lan").over(family);
        match family {
            Family::V4 => way.through(self.router_address("wan", family)),
            Family::V6 => way.same_port_control(),
        }
    }

    /// The LAN host's way out.
    #[must_use]
    pub fn way_out(&self, family: Family) -> Way<'_> {
        self.way("lan", "internet").over(family)
    }

    /// Gives a host one more address, to which the internet and the router know the way: a public address behind the router.
    ///
    /// # Panics
    /// If `ip` refuses it.
    pub fn add_public_address(&self, host: &str, address: Ipv4Addr) {
        self.host(host)
            .namespace
            .ip(&format!("addr add {address}/32 dev eth0\n"));
        self.router.ip(&format!("route add {address}/32 dev br-lan\n"));
        self.internet.ip(&format!("route add {address}/32 via 198.51.100.2\n"));
    }

    /// The link-local address of a device of the router's.
    ///
    /// # Panics
    /// If there is no such device.
    #[must_use]
    pub fn link_local(&self, device: &str) -> Ipv6Addr {
        let arguments = ["-6", "-brief", "addr", "show", "dev", device, "scope", "link"];
        let mut address = None;
        // The kernel gives it one when it comes to see to links, which may take it a second.
        let is_there = within(Duration::from_secs(10), || {
            let line = self.router.must("ip", &arguments, "");
            let mut words = line.split_whitespace();
            address = words.nth(2).and_then(|word| word.split('/').next()?.parse().ok());
            address.is_some()
        });
        assert!(is_there, "{device} has no link-local address");
        address.expect("it is there")
    }

    /// A directory of this house's own, gone with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What `--config-dir` takes.
    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.directory.join("config")
    }
}
