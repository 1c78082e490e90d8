//! What a router runs beside lanward, with real packets: do the promises hold there, and does the neighbour go on as before? Where a promise cannot hold, the
//! diagnosis must say so. The rules are in our own words, after what the packages load; where a package loads them by iptables, so it is done here.

use lanward::system::nftables::Nftables;
use lanward_rig::clock::away_from_midnight;
use lanward_rig::home::{switched_off, switched_on, Home, Switch};
use lanward_rig::house::{Family, House, Plan, FAMILIES};
use lanward_rig::knock::{tcp, Knocker};
use lanward_rig::namespace::Namespace;
use lanward_rig::probe::{within, Connection, Fate};
use lanward_rig::report_line::{figure, skip, this_test};
use lanward_rig::settings::Firewall;
use serde_json::json;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

const SSH: u16 = 22;
/// How long the daemon may take for what it does beside the packets' way, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// `/etc/config/lanward` with the router's SSH behind a gate that forgets nobody while the test lasts, and these further lines.
fn gated(mark: &str, further: &str) -> String {
    format!(
        "config lanward 'lanward'\n{mark}\nconfig lan_only 'lan_only'\n\toption enabled '0'\n\n\
         config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\toption window '600'\n\toption forget 'never'\n{further}"
    )
}

/// A house with a gate, and a neighbour on its router.
struct Scene {
    home: Home,
}

impl Scene {
    fn gated(plan: Plan, firewall: Firewall, further: &str) -> Option<Self> {
        let home = Home::start_gated(&this_test(), plan, firewall, &gated("", further))?;
        Some(Self { home })
    }

    fn router(&self) -> &Namespace {
        self.home.house.router()
    }

    /// What a connection from a host of the internet to a port of the router meets, where the router listens.
    fn meets_at(&self, host: &str, family: Family, port: u16) -> Connection {
        let way = self.home.house.way(host, "router").over(family);
        way.through(self.home.house.router_address("wan", family)).tcp(port)
    }

    fn meets(&self, host: &str, family: Family) -> Connection {
        self.meets_at(host, family, SSH)
    }

    /// `internet` is let in for the test's time; `internet2` never is.
    fn admit(&self) {
        for family in FAMILIES {
            let address = self.home.house.host("internet").address(family).to_string();
            let asked = json!({ "gate": "ssh", "address": address, "seconds": 600 });
            assert_eq!(self.home.daemon.must("gate_admit", &asked)["ok"], json!(true));
        }
    }

    /// The neighbour's chains are called after ours where both have one priority: the kernel puts the last comer first.
    fn register_before(&self) {
        let table = || {
            self.router()
                .run(|| Nftables::open().and_then(|mut nft| nft.table_handle("lanward")))
        };
        let before = table().expect("the kernel answers");
        self.router().nft("delete table inet lanward\n");
        let is_back = || matches!(table(), Ok(Some(now)) if Some(now) != before);
        assert!(within(SOON, is_back), "the daemon puts its table back");
        self.admit();
    }

    /// Who is listed gets in, and nobody else.
    fn holds(&self, what: &str) {
        for family in FAMILIES {
            assert_eq!(
                self.meets("internet2", family),
                Connection::Reset,
                "{what} {family}: not listed"
            );
            assert_eq!(
                self.meets("internet", family),
                Connection::Accepted,
                "{what} {family}: listed"
            );
        }
    }

    /// What the diagnosis says of marks: severity and message.
    fn says_of_marks(&self) -> Vec<(String, String)> {
        let mut found = findings(&self.home, "gate");
        found.retain(|(_, message)| message.contains(" the mark 0x"));
        found
    }
}

fn findings(home: &Home, name: &str) -> Vec<(String, String)> {
    let answer = home.daemon.must("check", &json!({}));
    let checks = answer["checks"].as_array().expect("checks");
    let word = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    checks
        .iter()
        .filter(|check| check["name"] == name && check["ok"] == json!(false))
        .map(|check| (word(check, "severity"), word(check, "message")))
        .collect()
}

/// Loads rules as `iptables` and `ip6tables` do on a router: by nf_tables, with xtables' own matches and targets.
fn iptables(router: &Namespace, rules: &str) {
    for program in ["iptables-nft-restore", "ip6tables-nft-restore"] {
        router.must(program, &["--noflush"], rules);
    }
}

/// Takes away what is not the house's.
fn clear(router: &Namespace) {
    let listing = router.must("nft", &["list", "tables"], "");
    let own = ["inet fw4", "inet lanward", "inet miniupnpd"];
    let foreign = listing.lines().filter_map(|line| line.strip_prefix("table "));
    let deletions = foreign
        .filter(|table| !own.contains(table))
        .fold(String::new(), |mut text, table| {
            let _ = writeln!(text, "delete table {table}");
            text
        });
    router.nft(&deletions);
}

/// How a neighbour's rules get into the kernel.
enum Rules {
    Nft(&'static str),
    Iptables(&'static str),
}

impl Rules {
    fn load(&self, router: &Namespace) {
        match self {
            Self::Nft(script) => router.nft(script),
            Self::Iptables(rules) => iptables(router, rules),
        }
    }
}

/// mwan3 with its mask 0x3f00: what comes in by a WAN is marked for it, and the mark kept for the connection.
const MWAN3: Rules = Rules::Iptables(
    "*mangle\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:mwan3_hook - [0:0]\n:mwan3_ifaces_in - [0:0]\n\
     -A PREROUTING -j mwan3_hook\n-A OUTPUT -j mwan3_hook\n\
     -A mwan3_hook -m mark --mark 0/0x3f00 -j CONNMARK --restore-mark --nfmask 0x3f00 --ctmask 0x3f00\n\
     -A mwan3_hook -m mark --mark 0/0x3f00 -j mwan3_ifaces_in\n\
     -A mwan3_ifaces_in -i wan0 -m mark --mark 0/0x3f00 -j MARK --set-xmark 0x100/0x3f00\n\
     -A mwan3_ifaces_in -i wanb0 -m mark --mark 0/0x3f00 -j MARK --set-xmark 0x200/0x3f00\n\
     -A mwan3_hook -j CONNMARK --save-mark --nfmask 0x3f00 --ctmask 0x3f00\nCOMMIT\n",
);
/// pbr with its mask 0x00ff0000, in fw4's own table, as it includes itself there.
const PBR: Rules = Rules::Nft(
    "table inet fw4 {
	chain pbr_prerouting { iifname \"wan0\" meta mark set meta mark & 0xff00ffff | 0x00010000; }
	chain pbr_input { meta mark set meta mark & 0xff00ffff | 0x00020000; }
	chain mangle_prerouting { type filter hook prerouting priority mangle; policy accept; jump pbr_prerouting; }
	chain mangle_input { type filter hook input priority mangle; policy accept; jump pbr_input; }
}\n",
);
/// Tailscale by iptables: its mark 0x40000/0xff0000, kept in the connection and restored.
const TAILSCALE: Rules = Rules::Iptables(
    "*mangle\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
     -A PREROUTING -m conntrack --ctstate ESTABLISHED,RELATED -j CONNMARK --restore-mark --nfmask 0xff0000 --ctmask 0xff0000\n\
     -A OUTPUT -m conntrack --ctstate NEW -m mark ! --mark 0x0/0xff0000 -j CONNMARK --save-mark --nfmask 0xff0000 --ctmask 0xff0000\nCOMMIT\n\
     *filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:ts-input - [0:0]\n:ts-forward - [0:0]\n-A INPUT -j ts-input\n-A FORWARD -j ts-forward\n\
     -A ts-input -i vpn0 -j ACCEPT\n-A ts-input -p udp -m udp --dport 41641 -j ACCEPT\n\
     -A ts-forward -i vpn0 -j MARK --set-xmark 0x40000/0xff0000\n-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT\n\
     -A ts-forward -o vpn0 -j ACCEPT\nCOMMIT\n",
);
/// Tailscale by nftables: what it restores replaces the whole mark, of connections that have begun only.
const TAILSCALE_NFT: Rules = Rules::Nft(
    "table ip mangle {
	chain PREROUTING { type filter hook prerouting priority mangle; policy accept; ct state established,related ct mark & 0x00ff0000 != 0 meta mark set ct mark & 0x00ff0000; }
}\n",
);
/// A build of it for routers that restores the mark as a whole, so that the vendor's bits survive.
const TAILSCALE_WHOLE: Rules = Rules::Nft(
    "table ip mangle {
	chain PREROUTING { type filter hook prerouting priority mangle; policy accept; ct state established,related ct mark & 0x00ff0000 != 0 meta mark set ct mark; }
	chain POSTROUTING { type filter hook postrouting priority mangle; policy accept; meta mark & 0x00ff0000 != 0 ct mark set meta mark; }
}\n",
);
/// Docker's swarm and Kubernetes mark what is to be translated, each one bit.
const CONTAINERS: Rules = Rules::Iptables(
    "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-MARK-MASQ - [0:0]\n-A PREROUTING -p tcp -m tcp --dport 22 -j KUBE-MARK-MASQ\n\
     -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n",
);

/// Beside them the gate lets in who is listed and nobody else, whoever is called first; our bit does not get into the connection's mark, and theirs stay.
#[test]
fn neighbours_that_mask_their_marks_and_the_gate_leave_each_other_alone() {
    let Some(scene) = Scene::gated(House::plan(), Firewall::default(), "") else {
        return;
    };
    scene.admit();
    for (name, rules, bits) in [
        ("mwan3", &MWAN3, Some(0x100_u32)),
        ("pbr", &PBR, Some(0x20000)),
        ("Tailscale, iptables", &TAILSCALE, None),
        ("Tailscale, nftables", &TAILSCALE_NFT, None),
        ("Tailscale, whole marks", &TAILSCALE_WHOLE, None),
        ("containers", &CONTAINERS, Some(0x4000)),
    ] {
        rules.load(scene.router());
        let theirs = bits.map_or("tcp dport 0".to_owned(), |bits| {
            format!("meta mark & {bits:#x} == {bits:#x}")
        });
        scene.router().nft(&format!(
            "table inet watch {{
	counter both {{ }}
	counter leaked {{ }}
	chain input {{ type filter hook input priority 300; policy accept; tcp dport 22 meta mark & 0x10000000 != 0 {theirs} counter name both; }}
	chain output {{ type filter hook postrouting priority 300; policy accept; ct mark & 0x10000000 != 0 counter name leaked; }}
}}\n"
        ));
        scene.holds(&format!("{name}, called before us,"));
        scene.register_before();
        scene.holds(&format!("{name}, called after us,"));
        let both = scene.router().nft_counter("watch", "both");
        assert_eq!(both > 0, bits.is_some(), "{name}: its bits beside ours");
        assert_eq!(
            scene.router().nft_counter("watch", "leaked"),
            0,
            "{name}: our bit is no connection's"
        );
        assert_eq!(scene.says_of_marks(), [], "{name}: nothing to say");
        clear(scene.router());
        scene.home.house.reload_fw4();
    }
}

/// Who writes the whole mark behind us shuts the gate for everybody, never opens it; the diagnosis names the chain. Before us it does no harm.
#[test]
fn who_writes_whole_marks_shuts_the_gate_and_is_named() {
    let Some(scene) = Scene::gated(House::plan(), Firewall::default(), "") else {
        return;
    };
    scene.admit();
    let nft = |hook: &str, priority: &str, device: &str| {
        format!("table inet other {{ chain c {{ type filter hook {hook} priority {priority}; policy accept; {device} meta mark set 0x1; }}; }}\n")
    };
    for (hook, priority, device) in [
        ("prerouting", "raw", ""),
        ("prerouting", "mangle - 1", ""),
        ("prerouting", "mangle + 10", "iifname \"br-lan\""),
        ("output", "mangle", ""),
        ("postrouting", "mangle", ""),
    ] {
        scene.router().nft(&nft(hook, priority, device));
        let what = format!("{hook} {priority} {device}");
        scene.holds(&what);
        assert_eq!(scene.says_of_marks(), [], "{what}");
        clear(scene.router());
    }
    let behind = [
        ("prerouting", "mangle + 10"),
        ("input", "mangle"),
        ("input", "filter - 1"),
    ];
    let by_nft = behind.map(|(hook, priority)| (nft(hook, priority, ""), "'inet other c'"));
    for (script, chain) in by_nft {
        scene.router().nft(&script);
        assert_shut(&scene, chain, "a mask", &script);
    }
    for (rules, chain) in [
        ("*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT -j MARK --set-mark 0x1\nCOMMIT\n", "'ip6 mangle INPUT'"),
        (
            "*mangle\n:INPUT ACCEPT [0:0]\n:restore - [0:0]\n-A INPUT -j restore\n-A restore -j CONNMARK --restore-mark\nCOMMIT\n",
            "'ip mangle restore'",
        ),
        (
            // A mask that has our bit: others' bits are left to choose from.
            "*mangle\n:INPUT ACCEPT [0:0]\n-A INPUT -i wan0 -j MARK --set-xmark 0x1/0x10000fff\nCOMMIT\n",
            "lanward.mark to 0x80000000",
        ),
    ] {
        iptables(scene.router(), rules);
        assert_shut(&scene, chain, "", rules);
    }
    scene.holds("they are gone");
}

fn assert_shut(scene: &Scene, names: &str, also: &str, what: &str) {
    for family in FAMILIES {
        for host in ["internet", "internet2"] {
            assert_eq!(scene.meets(host, family), Connection::Reset, "{what} {host} {family}");
        }
    }
    let said = scene.says_of_marks();
    let names_it = |(_, message): &(String, String)| message.contains(names) && message.contains(also);
    assert!(!said.is_empty() && said.iter().all(names_it), "{what}: {said:?}");
    clear(scene.router());
}

/// A neighbour that sets the very bit, for purposes of its own, opens the gate: that cannot be helped, so the diagnosis calls it an error, and the bit that
/// it proposes instead does help. Before us our rules clear what it set.
#[test]
fn who_sets_the_very_bit_is_an_error_and_the_bit_that_is_proposed_is_free() {
    let Some(mut scene) = Scene::gated(House::plan(), Firewall::default(), "") else {
        return;
    };
    scene.admit();
    let rule = |priority: &str| {
        format!("table inet other {{ chain c {{ type filter hook prerouting priority {priority}; policy accept; meta mark set meta mark | 0x1e000000; }}; }}\n")
    };
    scene.router().nft(&rule("raw"));
    scene.holds("the bit set before us");
    assert_eq!(scene.says_of_marks(), []);
    clear(scene.router());
    scene.router().nft(&rule("mangle + 1"));
    for family in FAMILIES {
        assert_eq!(
            scene.meets("internet2", family),
            Connection::Accepted,
            "{family}: anybody"
        );
    }
    let said = scene.says_of_marks();
    let [(severity, message)] = &said[..] else {
        panic!("one finding: {said:?}");
    };
    assert_eq!(severity, "error");
    assert!(message.contains("'inet other c'"), "{message}");
    let (_, proposed) = message.split_once("Set lanward.mark to ").expect("a proposal");
    let (mark, _) = proposed.split_once(',').expect("a mark");
    let config = gated(&format!("\toption mark '{mark}'\n"), "");
    assert_eq!(scene.home.reload_gated(&config)["applied"], json!(true));
    scene.holds("with the mark that was proposed");
    assert_eq!(scene.says_of_marks(), []);
}

/// Whole marks kept in the connection and given back to its later packets: our bit is in them, and is no way in for the next connection.
#[test]
fn our_bit_in_a_connections_mark_admits_no_further_connection() {
    let Some(scene) = Scene::gated(House::plan(), Firewall::default(), "") else {
        return;
    };
    scene.admit();
    scene.router().nft(
        "table inet other {
	counter kept { }
	chain restore { type filter hook prerouting priority mangle + 1; policy accept; ct state established,related meta mark set ct mark; }
	chain save { type filter hook input priority 200; policy accept; ct mark set meta mark; ct mark & 0x10000000 != 0 counter name kept; }
}\n",
    );
    scene.holds("marks kept");
    assert!(scene.router().nft_counter("other", "kept") >= 2);
    assert_eq!(scene.says_of_marks(), [], "it is about connections that have begun");
    for family in FAMILIES {
        let address = scene.home.house.host("internet").address(family).to_string();
        let asked = json!({ "gate": "ssh", "address": address });
        assert_eq!(scene.home.daemon.must("gate_remove", &asked)["ok"], json!(true));
        assert_eq!(
            scene.meets("internet", family),
            Connection::Reset,
            "{family}: off the list"
        );
    }
}

/// mwan3's routes by mark: who comes by the second WAN is answered there, marked by both of us; the LAN's UDP that it leads there is dropped all the same, and
/// what was running by that way is cut.
#[test]
fn what_mwan3_leads_over_another_wan_is_gated_and_dropped_there() {
    let plan = House::plan().with_second_wan();
    let Some(scene) = Scene::gated(plan, Firewall::default(), "") else {
        return;
    };
    scene.admit();
    let (home, router) = (&scene.home, scene.router());
    MWAN3.load(router);
    // Only the mark leads to the second WAN; what the LAN sends to 443 and 50001 is led there, too.
    router.ip("route del 203.0.113.77/32\nroute add default via 192.0.2.1 table 2\nrule add iif wanb0 lookup main pref 1002\nrule add fwmark 0x200/0x3f00 lookup 2 pref 2002\n");
    iptables(
        router,
        "*mangle\n:mwan3_rules - [0:0]\n-A PREROUTING -j mwan3_rules\n\
         -A mwan3_rules -i br-lan -p udp -m multiport --dports 443,50001 -j MARK --set-xmark 0x200/0x3f00\nCOMMIT\n",
    );
    router.nft(
        "table inet watch {
	counter answers { }
	counter away { }
	chain out { type filter hook postrouting priority 300; policy accept; oifname \"wanb0\" tcp sport 22 counter name answers; oifname \"wanb0\" meta l4proto udp counter name away; }
}\n",
    );
    let wanb = IpAddr::from(Ipv4Addr::new(192, 0, 2, 2));
    let meets = |host: &str| home.house.way(host, "router").through(wanb).tcp(SSH);
    assert_eq!(meets("internet2"), Connection::Reset, "not listed");
    assert_eq!(meets("internet"), Connection::Accepted, "listed");
    assert!(
        router.nft_counter("watch", "answers") >= 3,
        "answers leave by the WAN they were asked at"
    );
    let way = home.house.way("lan", "internet2");
    let session = way.udp_session(50001);
    assert!(
        within(SOON, || session.goes_on() && router.nft_counter("watch", "away") > 0),
        "it runs by the second WAN"
    );
    assert_eq!(home.switch(Switch::On)["flows_cut"], json!(1));
    assert!(within(SOON, || !session.goes_on()), "it was cut");
    drop(session);
    assert_eq!(way.udp(50001), Fate::Lost, "and no new one gets out");
    assert_eq!(way.udp(443), Fate::Answered);
    assert_eq!(scene.says_of_marks(), []);
}

/// pbr leads a host's UDP into a VPN: that is no way to the internet that `lan_only` knows of, and `check` says so; named as one, it is.
#[test]
fn what_pbr_leads_into_a_vpn_gets_out_until_its_zone_is_named() {
    let Some(home) = Home::start(&this_test(), House::plan(), &switched_on("")) else {
        return;
    };
    let (router, vpn, lan) = (home.house.router(), home.house.host("vpn"), home.house.host("lan"));
    vpn.namespace.ip("addr add 198.18.5.5/32 dev lo\n");
    router.ip("route add default via 10.8.0.2 table 257\nrule add fwmark 0x20000/0xff0000 lookup 257 pref 30000\n");
    router.nft(
        "table inet fw4 {
	chain pbr_prerouting { iifname \"br-lan\" ip daddr 198.18.0.0/15 meta mark set meta mark & 0xff00ffff | 0x00020000; }
	chain mangle_prerouting { type filter hook prerouting priority mangle; policy accept; jump pbr_prerouting; }
}\n",
    );
    let far = |port| SocketAddr::new(Ipv4Addr::new(198, 18, 5, 5).into(), port);
    // The second packet, below the range, says that the way is there.
    let arrive = || {
        let [asked, control] = [50000, 443].map(|port| vpn.namespace.udp(far(port)));
        let sender = lan.namespace.udp(lan.socket(Family::V4, 0));
        for port in [50000, 443] {
            sender.send_to(b"x", far(port)).expect("sent");
        }
        control
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        control.recv(&mut [0]).expect("what is below the range arrives");
        asked
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        asked.recv(&mut [0]).is_ok()
    };
    let says = || {
        let said = findings(&home, "zones");
        said.iter()
            .any(|(_, message)| message.contains("routing table 257 leaves through 'vpn0'"))
    };
    assert!(arrive());
    assert!(within(SOON, says), "{:?}", findings(&home, "zones"));
    home.reload(&switched_on("list dest_zone 'wan'\nlist dest_zone 'vpn'"));
    assert!(!arrive(), "its zone is a way out now");
    assert!(!says());
}

/// banIP and CrowdSec drop whom they know before us or before fw4, and accept others: a drop is final, an accept is none to us. What banIP drops in
/// prerouting is no attempt in the ledger; what CrowdSec drops at input is one.
#[test]
fn block_lists_drop_for_good_and_their_accepts_are_none_of_ours() {
    away_from_midnight();
    let ledger = "\nconfig ledger 'ledger'\n";
    let Some(scene) = Scene::gated(House::plan(), Firewall::default(), ledger) else {
        return;
    };
    let (home, router) = (&scene.home, scene.router());
    home.switch(Switch::On);
    home.house
        .host("internet")
        .namespace
        .ip("route add local 198.18.0.0/15 dev lo\n");
    let knocker = Knocker::new(&home.house);
    let today = || {
        let status = home.daemon.must("status", &json!({}));
        status["ledger"]["today"].as_u64().expect("a number")
    };
    let sends = |last: u8, count: u16| {
        let from = |port| SocketAddr::new(Ipv4Addr::new(198, 18, 0, last).into(), 20_000 + port);
        let frames: Vec<Vec<u8>> = (0..count).map(|port| knocker.frame(from(port), tcp(23))).collect();
        knocker.send(&frames);
    };
    let banip = |prerouting: &str, forward: &str| {
        format!(
            "table inet banIP {{
	set blocklist {{ type ipv4_addr; flags interval; auto-merge; elements = {{ 198.18.0.7, 198.18.0.64/26 }}; }}
	set blocklist6 {{ type ipv6_addr; flags interval; }}
	set allowlist {{ type ipv4_addr; flags interval; elements = {{ 203.0.113.77, 192.168.77.0/24 }}; }}
	chain _reject {{ meta l4proto tcp reject with tcp reset; reject; }}
	chain pre-routing {{ type filter hook prerouting priority {prerouting}; policy accept; iifname \"wan0\" ip saddr @blocklist counter drop; iifname \"wan0\" ct state invalid counter drop; }}
	chain wan-input {{ type filter hook input priority {forward}; policy accept; ct state established,related accept; iifname \"wan0\" ip saddr @allowlist accept; ip saddr @blocklist goto _reject; }}
	chain wan-forward {{ type filter hook forward priority {forward}; policy accept; iifname \"wan0\" ip saddr @allowlist accept; }}
	chain lan-forward {{ type filter hook forward priority {forward}; policy accept; ct state established,related accept; iifname \"br-lan\" ip saddr @allowlist accept; }}
}}\n"
        )
    };
    let mut expected = today();
    for prerouting in ["-175", "-150"] {
        router.nft(&banip(prerouting, "-100"));
        assert_eq!(
            scene.meets("internet2", Family::V4),
            Connection::Reset,
            "{prerouting}: accepted by banIP, not listed here"
        );
        assert_eq!(
            home.house.way_out(Family::V4).udp(50000),
            Fate::Lost,
            "{prerouting}: accepted by banIP"
        );
        scene.admit();
        assert_eq!(
            scene.meets("internet", Family::V4),
            Connection::Accepted,
            "{prerouting}: listed"
        );
        router.nft("add element inet banIP blocklist { 203.0.113.9 }\n");
        assert_eq!(
            scene.meets("internet", Family::V4),
            Connection::Silent,
            "{prerouting}: banned, though listed"
        );
        expected = today().max(expected);
        sends(7, 5);
        sends(8, 3);
        expected += 3;
        assert!(
            within(SOON, || today() == expected),
            "{prerouting}: {} instead of {expected}",
            today()
        );
        clear(router);
        if prerouting == "-175" {
            continue;
        }
        assert_eq!(findings(home, "neighbours"), []);
    }
    router.nft(
        "table ip crowdsec {
	set crowdsec-blacklists { type ipv4_addr; flags timeout; elements = { 198.18.0.7 timeout 1h, 203.0.113.9 timeout 1h }; }
	chain crowdsec-chain-input { type filter hook input priority -10; policy accept; ip saddr @crowdsec-blacklists drop; }
	chain crowdsec-chain-forward { type filter hook forward priority -10; policy accept; ip saddr @crowdsec-blacklists drop; }
}\n",
    );
    assert_eq!(
        scene.meets("internet", Family::V4),
        Connection::Silent,
        "banned, though listed"
    );
    let before = today();
    sends(7, 5);
    assert!(within(SOON, || today() == before + 5), "{} after {before}", today());
    assert_eq!(findings(home, "neighbours"), []);
}

/// What miniupnpd writes into fw4's table: redirects at dstnat, accepts in forward.
fn upnp(redirects: &str, accepts: &str) -> String {
    format!(
        "table inet fw4 {{
	chain upnp_prerouting {{ {redirects} }}
	chain upnp_forward {{ {accepts} }}
}}
add rule inet fw4 dstnat ct state new jump upnp_prerouting
add rule inet fw4 forward ct status dnat accept
"
    )
}

/// A port that a program in the home has opened by itself: UDP from a port in the range does not come in; a gate's port is guarded wherever it was led;
/// but by another port somebody gets to a guarded host unasked, as by any mapping, and by a witness's port gets listed.
#[test]
fn what_upnp_opens_is_dropped_in_the_range_and_guarded_at_a_gates_port() {
    let further = "\tlist service 'tcp:2222>192.168.77.100:22'\n\tlist service 'tcp:22>[fd77::100]:22'\n\nconfig witness 'imaps'\n\toption gate 'ssh'\n";
    let Some(scene) = Scene::gated(House::plan(), Firewall::default(), further) else {
        return;
    };
    scene.admit();
    let home = &scene.home;
    scene.router().nft(&upnp(
        "iifname \"wan0\" udp dport 45500 dnat ip to 192.168.77.100:45500; iifname \"wan0\" tcp dport 22 dnat ip to 192.168.77.101:22; \
         iifname \"wan0\" tcp dport 5022 dnat ip to 192.168.77.100:22; iifname \"wan0\" tcp dport 993 dnat ip to 192.168.77.101:22;",
        "ip daddr 192.168.77.100 udp dport 45500 accept; ip daddr 192.168.77.101 tcp dport 22 accept; ip daddr 192.168.77.100 tcp dport 22 accept; ip6 daddr fd77::100 tcp dport 22 accept;",
    ));
    let mapped = |port: u16| home.house.way_in(Family::V4).source_port(port).udp(45500);
    assert_eq!(mapped(50000), Fate::Answered, "off");
    home.switch(Switch::On);
    assert_eq!(mapped(50001), Fate::Lost, "from a port in the range");
    assert_eq!(mapped(40000), Fate::Answered, "from one below");
    let to_lan = |host: &str, lan: &str, port: u16| {
        let listener = home.house.host(lan).socket(Family::V4, SSH);
        let _listener = home.house.host(lan).namespace.tcp_listener(listener);
        let way = home.house.way(host, "router");
        way.through(home.house.router_address("wan", Family::V4))
            .tcp_unheard(port)
    };
    assert_eq!(
        to_lan("internet2", "lan2", SSH),
        Connection::Reset,
        "the gate's port, led to lan2"
    );
    assert_eq!(
        to_lan("internet", "lan2", SSH),
        Connection::Accepted,
        "and who is listed gets there"
    );
    assert_eq!(
        to_lan("internet2", "lan", 2222),
        Connection::Reset,
        "a forwarded service"
    );
    let pinhole = |host: &str| home.house.way(host, "lan").over(Family::V6).tcp(SSH);
    assert_eq!(pinhole("internet2"), Connection::Reset, "a pinhole to a guarded host");
    assert_eq!(pinhole("internet"), Connection::Accepted, "and who is listed");
    assert_eq!(
        to_lan("internet2", "lan", 5022),
        Connection::Accepted,
        "past it, which `check` reads from the leases"
    );
    // And in a witness's place whoever connects is taken for proved.
    assert_eq!(to_lan("internet2", "lan2", 993), Connection::Accepted);
    assert_eq!(
        to_lan("internet2", "lan", 2222),
        Connection::Accepted,
        "as the leases say, too"
    );
}

/// Docker's rules, as iptables loads them, for a bridge (here `guest0`) with a published port and its own translation.
fn docker(published: u16) -> String {
    format!(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n\
         -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A POSTROUTING -s 192.168.78.0/24 ! -o guest0 -j MASQUERADE\n\
         -A DOCKER ! -i guest0 -p tcp -m tcp --dport {published} -j DNAT --to-destination 192.168.78.100:{published}\nCOMMIT\n\
         *filter\n:FORWARD ACCEPT [0:0]\n:DOCKER - [0:0]\n:DOCKER-USER - [0:0]\n:DOCKER-FORWARD - [0:0]\n\
         -A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n\
         -A DOCKER-FORWARD -o guest0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A DOCKER-FORWARD -o guest0 -j DOCKER\n\
         -A DOCKER-FORWARD -i guest0 -j ACCEPT\n\
         -A DOCKER -d 192.168.78.100/32 ! -i guest0 -o guest0 -p tcp -m tcp --dport {published} -j ACCEPT\nCOMMIT\n"
    )
}

/// A published port that is a gate's own is guarded; what the containers send gets out until their zone is a source zone, and `check` says so.
#[test]
fn dockers_published_ports_are_guarded_and_its_bridge_is_outside_until_named() {
    let plan = House::plan().with_guest();
    let Some(mut scene) = Scene::gated(plan, Firewall::default(), "") else {
        return;
    };
    scene.admit();
    let rules = docker(SSH);
    scene.router().must("iptables-nft-restore", &["--noflush"], &rules);
    let published = |scene: &Scene, host: &str| {
        let container = scene.home.house.host("guest");
        let _listener = container.namespace.tcp_listener(container.socket(Family::V4, SSH));
        let way = scene.home.house.way(host, "router");
        way.through(scene.home.house.router_address("wan", Family::V4))
            .tcp_unheard(SSH)
    };
    assert_eq!(published(&scene, "internet2"), Connection::Reset, "not listed");
    assert_eq!(
        published(&scene, "internet"),
        Connection::Accepted,
        "listed: the container answers"
    );
    assert_eq!(
        scene.meets("internet2", Family::V6),
        Connection::Reset,
        "IPv6 is the router's own still"
    );
    scene.home.switch(Switch::On);
    let out = |scene: &Scene, port: u16| scene.home.house.way("guest", "internet").udp(port);
    assert_eq!(
        out(&scene, 50000),
        Fate::Answered,
        "a container is not in a source zone"
    );
    let outside = |scene: &Scene| {
        let said = findings(&scene.home, "zones");
        said.iter()
            .any(|(severity, message)| severity == "info" && message.contains("'guest'"))
    };
    assert!(outside(&scene));
    let named = gated("", "").replace(
        "enabled '0'",
        "enabled '1'\n\tlist source_zone 'lan'\n\tlist source_zone 'guest'",
    );
    assert_eq!(scene.home.reload_gated(&named)["applied"], json!(true));
    assert_eq!(out(&scene, 50001), Fate::Lost, "its accept is not final");
    assert_eq!(out(&scene, 443), Fate::Answered);
    assert!(!outside(&scene));
}

/// Full cone, after its kind: a port that a host has used is its own, whoever sends there.
#[test]
fn what_a_full_cone_lets_in_is_dropped_in_the_range() {
    let Some(home) = Home::start("full cone", House::plan(), &switched_off("")) else {
        return;
    };
    home.house.router().nft(
        "table ip cone {
	map mapped { type inet_service : ipv4_addr; flags timeout; timeout 5m; size 4096; }
	chain srcnat { type nat hook postrouting priority srcnat - 1; policy accept; iifname \"br-lan\" oifname \"wan0\" meta l4proto udp update @mapped { udp sport : ip saddr }; }
	chain dstnat { type nat hook prerouting priority dstnat; policy accept; iifname \"wan0\" meta l4proto udp dnat to udp dport map @mapped; }
}\n",
    );
    let opens = || home.house.way_out(Family::V4).source_port(46500).udp(443);
    let wan = home.house.router_address("wan", Family::V4);
    let newcomer = |port: u16| {
        home.house
            .way("internet2", "lan")
            .through(wan)
            .source_port(port)
            .try_udp(46500)
    };
    assert!(newcomer(50000).is_err(), "nothing is open yet");
    assert_eq!(opens(), Fate::Answered);
    assert_eq!(newcomer(50001), Ok(Fate::Answered), "off: anybody may");
    home.switch(Switch::On);
    assert_eq!(opens(), Fate::Answered, "443 is no port of the range");
    for port in [50002, 50001] {
        assert_eq!(
            newcomer(port),
            Ok(Fate::Lost),
            "from {port}; the second one was there before"
        );
    }
    assert_eq!(newcomer(40000), Ok(Fate::Answered), "from a port below the range");
    home.reload(&switched_on("option mirror '0'"));
    assert_eq!(newcomer(50003), Ok(Fate::Answered), "without mirror anybody may");
}

/// adblock, https-dns-proxy and the like lead the LAN's DNS to the router; that goes on, and is no way out for anything else.
#[test]
fn dns_that_is_led_to_the_router_goes_on() {
    let Some(home) = Home::start("DNS led", House::plan(), &switched_on("option level 'strict'")) else {
        return;
    };
    home.house.router().nft(
        "table inet dns {
	chain dstnat { type nat hook prerouting priority dstnat - 5; policy accept; iifname \"br-lan\" meta nfproto ipv4 udp dport { 53, 5353 } redirect to :53; iifname \"br-lan\" meta nfproto ipv4 tcp dport { 53, 853 } redirect to :53; }
}\n",
    );
    let router = home.house.router().udp("0.0.0.0:53".parse().expect("an address"));
    router
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    let lan = home.house.host("lan");
    for port in [53, 5353] {
        let asking = lan.namespace.udp(lan.socket(Family::V4, 0));
        asking
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        let far = home.house.host("internet").socket(Family::V4, port);
        asking.send_to(b"who", far).expect("sent");
        let mut buffer = [0; 16];
        let (length, from) = router.recv_from(&mut buffer).expect("it is led to the router");
        router.send_to(&buffer[..length], from).expect("sent");
        let (_, answered) = asking.recv_from(&mut buffer).expect("the answer comes back");
        assert_eq!(answered, far, "as from where it was asked");
    }
    assert_eq!(home.house.way_out(Family::V4).udp(50000), Fate::Lost);
}

/// SQM takes what comes in by the WAN through a device of its own, and queues what goes out: what we match is the WAN all the same.
#[test]
fn sqm_on_the_wan_changes_nothing() {
    let Some(scene) = Scene::gated(House::plan(), Firewall::default(), "") else {
        return;
    };
    scene.admit();
    scene.home.switch(Switch::On);
    let made = scene
        .router()
        .output("ip", &["link", "add", "ifb4wan0", "type", "ifb"], "");
    if !made.is_ok_and(|made| made.status.success()) {
        return skip(&this_test(), "no ifb in this kernel");
    }
    scene.router().ip("link set ifb4wan0 up\n");
    let tc = |lines: &str| {
        scene
            .router()
            .output("tc", &["-batch", "-"], lines)
            .is_ok_and(|done| done.status.success())
    };
    let queues = |kind: &&str| {
        tc(&format!(
            "qdisc add dev wan0 root {kind}\nqdisc add dev ifb4wan0 root {kind}\n"
        ))
    };
    let queue = ["cake bandwidth 100mbit", "fq_codel", "pfifo limit 100"]
        .into_iter()
        .find(queues);
    figure(&this_test(), &format!("queues of this kernel: {queue:?}"));
    let takes = "filter add dev wan0 parent ffff: protocol all prio 10 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev ifb4wan0\n";
    if !tc(&format!("qdisc add dev wan0 handle ffff: ingress\n{takes}")) {
        return skip(&this_test(), "no redirection to ifb in this kernel");
    }
    scene.holds("behind ifb");
    for family in FAMILIES {
        assert_eq!(scene.home.house.way_out(family).udp(50000), Fate::Lost, "{family}");
        assert_eq!(scene.home.house.way_out(family).udp(443), Fate::Answered, "{family}");
    }
    let through = scene
        .router()
        .must("tc", &["-s", "qdisc", "show", "dev", "ifb4wan0"], "");
    assert!(!through.contains("Sent 0 bytes"), "it did take them: {through}");
}

/// Somebody takes the gate's port out of conntrack, and accepts what is untracked: who is listed gets in, and nobody else.
#[test]
fn untracked_connections_are_gated() {
    let Some(scene) = Scene::gated(House::plan(), Firewall::default(), "") else {
        return;
    };
    scene.admit();
    scene.router().nft(
        "table inet other {
	chain pre { type filter hook prerouting priority raw; policy accept; tcp dport 22 notrack; }
	chain out { type filter hook output priority raw; policy accept; tcp sport 22 notrack; }
}
insert rule inet fw4 input ct state untracked tcp dport 22 accept\n",
    );
    scene.holds("untracked");
}

/// A block list as banIP loads it: 200 000 networks and 50 000 of IPv6.
fn block_list() -> String {
    let mut script = String::from("table inet banIP {\nset v4 { type ipv4_addr; flags interval; elements = {\n");
    for number in 0..200_000_u32 {
        let first = 0x0b00_0000 + number * 16;
        let _ = writeln!(script, "{}-{},", Ipv4Addr::from(first), Ipv4Addr::from(first + 6));
    }
    script.push_str("} ; }\nset v6 { type ipv6_addr; flags interval; elements = {\n");
    for number in 0..50_000_u128 {
        let first = (0x2a00_u128 << 112) + (number << 64);
        let _ = writeln!(script, "{}/65,", Ipv6Addr::from(first));
    }
    script.push_str(
        "} ; }\nchain pre-routing { type filter hook prerouting priority -175; policy accept; iifname \"wan0\" ip saddr @v4 drop; iifname \"wan0\" ip6 saddr @v6 drop; }\n}\n",
    );
    script
}

fn block_list_config() -> String {
    gated("", "\nconfig ledger 'ledger'\n").replace("enabled '0'", "enabled '1'")
}

/// How long things take at best, milliseconds: a switch off and on, a reload, a diagnosis, the table's return, a start until `status` answers.
fn times(home: &mut Home) -> [(&'static str, f64); 5] {
    let mut best = ["switch", "reload", "check", "table back", "start"].map(|what| (what, f64::INFINITY));
    let mut note = |which: usize, begin: Instant| {
        let milliseconds = begin.elapsed().as_secs_f64() * 1000.0;
        best[which].1 = best[which].1.min(milliseconds);
    };
    let router = home.house.router().clone();
    let table = || router.run(|| Nftables::open().and_then(|mut nft| nft.table_handle("lanward")));
    for window in 601..606 {
        let begin = Instant::now();
        home.switch(Switch::Off);
        home.switch(Switch::On);
        note(0, begin);
        let config = block_list_config().replace("window '600'", &format!("window '{window}'"));
        let begin = Instant::now();
        assert_eq!(home.reload(&config)["applied"], json!(true));
        note(1, begin);
        let begin = Instant::now();
        let _ = home.daemon.must("check", &json!({}));
        note(2, begin);
        // After a change of others the daemon looks at once, but then not for 600 ms.
        std::thread::sleep(Duration::from_millis(700));
        let before = table().expect("the kernel answers");
        let begin = Instant::now();
        let deleted = router.run(|| Nftables::open().and_then(|mut nft| nft.delete_table("lanward")));
        deleted.expect("it is deleted");
        assert!(within(SOON, || matches!(table(), Ok(Some(now)) if Some(now) != before)));
        note(3, begin);
        home.daemon.kill9();
        let begin = Instant::now();
        home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
        note(4, begin);
    }
    best
}

/// Beside a block list of 250 000 nothing takes the daemon longer than without, and it needs no more memory: it asks for no table of others but by its rules.
#[test]
fn a_block_list_of_250_000_costs_the_daemon_nothing() {
    let config = block_list_config();
    let Some(mut home) = Home::start_gated(&this_test(), House::plan(), Firewall::default(), &config) else {
        return;
    };
    let without = times(&mut home);
    let memory = home.daemon.own_kib();
    let list = block_list();
    home.house.router().nft(&list);
    let with = times(&mut home);
    home.house.router().nft(&format!("delete table inet banIP\n{list}"));
    let state = home.daemon.must("check", &json!({}));
    assert!(state["checks"].is_array());
    let grown = home.daemon.own_kib();
    for ((what, before), (_, after)) in without.into_iter().zip(with) {
        figure(
            "block list",
            &format!(
                "{what}: {before:.1} ms without, {after:.1} ms with, {:.2} times",
                after / before
            ),
        );
        assert!(
            after < before * 3.0 + 100.0,
            "{what}: {before:.1} ms became {after:.1} ms"
        );
    }
    figure(
        "block list",
        &format!("memory: {memory} KiB without, {grown} KiB after it was loaded twice"),
    );
    assert!(grown < memory + 1024, "{memory} KiB became {grown} KiB");
}
