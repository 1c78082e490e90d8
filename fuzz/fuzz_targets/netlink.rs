//! Any datagram is the kernel's answer to what we ask of nf_tables, conntrack, the links and WireGuard, or none: what comes of it is no more than what it
//! holds, and is well formed. The first byte says who was asked. (What it says of packets is `nflog`'s.)
#![no_main]

use lanward::config::{self, Subnet};
use lanward::network::{self, Links, Network, Sources};
use lanward::nft::netlink::{self, each_reading, generation, neighbours, readings, Endian, Present};
use lanward::nft::Table;
use lanward::system::conntrack::{parse_flow, Session};
use lanward::system::links::parse;
use lanward::system::netlink::Messages;
use lanward::system::wireguard::{endpoint_of, Peers, MOST_PEERS, MOST_PREFIXES};
use lanward::{policy, ruleset, uci};
use libfuzzer_sys::fuzz_target;
use std::net::IpAddr;
use std::sync::OnceLock;

const CONFIG: &[u8] = b"config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\
    config witness 'mail'\n\toption gate 'ssh'\n\tlist service 'tcp:993>192.168.1.9'\n";

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, datagram)) = bytes.split_first() else {
        return;
    };
    match choice % 4 {
        0 => tables(datagram, *choice),
        1 => flows(datagram),
        2 => links(datagram),
        _ => peers(datagram),
    }
});

/// A table with every kind of set.
pub fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let file = |text: &[u8]| uci::parse(text).expect("a recorded file");
        let (firewall, interfaces) = (
            file(include_bytes!("../../tests/openwrt/firewall.uci")),
            file(include_bytes!("../../tests/openwrt/network.uci")),
        );
        let netifd = serde_json::from_slice(include_bytes!("../../tests/openwrt/network.interface.dump.json"));
        let network: Network = network::read(&Sources {
            firewall: Some(&firewall),
            network: Some(&interfaces),
            netifd: Some(&netifd.expect("a recorded file")),
            links: &Links::default(),
        });
        let (config, _) = config::read_text(Some(CONFIG));
        ruleset::lay_out(&policy::compile(&config, &network, "UTC0", 1_790_000_000).policy, true)
    })
}

fn tables(datagram: &[u8], choice: u8) {
    let table = table();
    let endian = if choice & 4 == 0 { Endian::NATIVE } else { Endian::Big };
    let mut present = Present::default();
    let (mut messages, mut elements) = (0, 0);
    for received in netlink::messages(datagram) {
        messages += 1;
        present.take(&table.name, &received);
        let _ = (generation(&received), neighbours::table(&received));
        let _ = (
            neighbours::handle(&received),
            neighbours::rule_comment(&received, &table.name),
        );
        neighbours::steps(&received, drop);
        for (family, _) in neighbours::FAMILIES {
            let _ = neighbours::base_chain(&received, family);
        }
        for set in &table.sets {
            each_reading(&received, set, endian, &mut |_| elements += 1);
        }
    }
    assert!(messages <= datagram.len() / 16 && elements <= table.sets.len() * datagram.len() / 4);
    assert!(netlink::counters(&present).len() <= messages);
    for set in &table.sets {
        assert!(readings(&present, set, endian).len() <= datagram.len() / 4);
        let _ = present.resizes(set);
    }
    if present.exists() {
        let _ = present.differences(table, endian);
    }
    // What would be sent to make it right: seldom, since that is all of the table.
    if present.exists() && choice & 0xf8 == 0xf8 {
        assert!(!netlink::transaction(table, &present, endian).is_empty());
    }
}

fn flows(datagram: &[u8]) {
    for message in Messages::new(datagram).flatten() {
        let _ = message.status();
        let entry = message.payload.get(4..).unwrap_or_default();
        for protocol in [6, 17] {
            let Some(flow) = parse_flow(entry, protocol) else {
                continue;
            };
            assert_eq!(flow.protocol, protocol);
            for tuple in [flow.original, flow.reply] {
                assert_eq!(tuple.source.is_ipv4(), tuple.dest.is_ipv4());
            }
        }
        if let Some(session) = Session::parse(entry) {
            assert_eq!(Some(session.flow), parse_flow(entry, 6));
            assert_eq!(session.bytes.is_some(), session.packets.is_some());
        }
    }
}

fn links(datagram: &[u8]) {
    let is_net = |subnet: &Subnet| {
        let most = if subnet.address.is_ipv4() { 32 } else { 128 };
        assert!(subnet.prefix <= most);
    };
    for message in Messages::new(datagram).flatten() {
        let (kind, payload) = (message.kind, message.payload);
        if let Some((_, name)) = parse::device(kind, payload) {
            assert!(!name.contains('\0') && name.len() <= 3 * payload.len());
        }
        if let Some((_, subnet, own)) = parse::address(kind, payload) {
            is_net(&subnet);
            assert_eq!(subnet.address.is_ipv4(), own.is_ipv4());
        }
        let routes = parse::routes(kind, payload);
        assert!(routes.len() <= payload.len() / 8);
        routes.iter().for_each(|route| is_net(&route.dest));
        assert!(parse::neighbour(kind, payload).is_none_or(|(_, mac)| mac != [0; 6]));
    }
}

fn peers(datagram: &[u8]) {
    let mut peers = Peers::default();
    for (number, message) in Messages::new(datagram).flatten().enumerate() {
        if number % 3 == 0 {
            peers.begin(if number == 0 { "wg0" } else { "wg1" });
        }
        if peers.add(message.payload.get(4..).unwrap_or_default()).is_err() {
            break;
        }
    }
    let list = peers.into_list();
    assert!(list.len() <= MOST_PEERS.min(datagram.len() / 4));
    let prefixes = list.iter().flat_map(|peer| &peer.allowed);
    assert!(prefixes.clone().count() <= MOST_PREFIXES);
    for (address, length) in prefixes.take(8) {
        assert!(*length <= if address.is_ipv4() { 32 } else { 128 });
        let _ = endpoint_of(&list, *address);
    }
    let _ = endpoint_of(&list, IpAddr::from([192, 168, 9, 2]));
}
