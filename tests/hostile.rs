//! What an attacker, a neighbour or a broken router would try, with packets and a running daemon.

use lanward_rig::home::{switched_on, Home};
use lanward_rig::house::{Family, House, FAMILIES, MAPPED_PORT};
use lanward_rig::probe::{within, Fate, Promise};
use lanward_rig::scratch::Scratch;
use serde_json::{json, Value};
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

const LAN2_MAC: &str = "02:00:00:00:77:65";

fn is_kept_in(home: &Home) -> bool {
    FAMILIES
        .iter()
        .all(|family| !home.house.way_out(*family).arrives(50000))
}

/// The user excepts the host `lan2` by its MAC. Somebody on the WAN's own segment sends one packet from that MAC, with the
/// source address of `lan`. Then `lan` must not count as excepted: nothing gets in to it through its UPnP mapping.
#[test]
fn a_neighbour_on_the_wan_cannot_make_a_host_an_excepted_one() {
    let config = switched_on(&format!("list except_host '{LAN2_MAC}'"));
    let Some(home) = Home::start("forged MAC", House::plan(), &config) else {
        return;
    };
    let internet = &home.house.host("internet").namespace;
    let way = home.house.way_in(Family::V4);
    assert_eq!(way.source_port(50001).udp(MAPPED_PORT), Fate::Lost);
    let line = internet.must("ip", &["-br", "link", "show", "to-wan0"], "");
    let own_mac = line.split_whitespace().nth(2).expect("a MAC").to_owned();
    internet.ip(&format!(
        "link set to-wan0 address {LAN2_MAC}\naddr add 192.168.77.100/32 dev lo\n"
    ));
    let forger = internet.udp("192.168.77.100:9999".parse().expect("an address"));
    let router = SocketAddr::new(home.house.router_address("wan", Family::V4), 9);
    for _ in 0..3 {
        forger.send_to(b"x", router).expect("sent");
    }
    internet.ip(&format!(
        "addr del 192.168.77.100/32 dev lo\nlink set to-wan0 address {own_mac}\n"
    ));
    let way = home.house.way_in(Family::V4);
    assert_eq!(way.source_port(50002).udp(MAPPED_PORT), Fate::Lost);
}

#[test]
fn fragments_and_untracked_packets_do_not_get_out() {
    let Some(home) = Home::start("fragments", House::plan(), &switched_on("")) else {
        return;
    };
    let (lan, internet) = (home.house.host("lan"), home.house.host("internet"));
    for notrack in ["", "-300", "-500"] {
        home.house
            .router()
            .nft("add table inet foreign\ndelete table inet foreign\n");
        if !notrack.is_empty() {
            home.house.router().nft(&format!(
                "table inet foreign {{ chain c {{ type filter hook prerouting priority {notrack}; meta l4proto udp notrack; }}; }}\n"
            ));
        }
        for family in FAMILIES {
            for (port, arrives) in [(30000, notrack.is_empty()), (50000, false)] {
                let receiver = internet.namespace.udp(internet.socket(family, port));
                receiver
                    .set_read_timeout(Some(Duration::from_millis(300)))
                    .expect("a timeout");
                let sender = lan.namespace.udp(lan.socket(family, 0));
                for _ in 0..3 {
                    sender.send_to(&[7; 4000], internet.socket(family, port)).expect("sent");
                }
                let got = receiver.recv(&mut [0; 5000]).is_ok();
                // (Untracked packets are not masqueraded: what is below the range may or may not find its way.)
                assert!(
                    got == arrives || (got && port < 40000),
                    "{family:?} {port} notrack {notrack}: {got}"
                );
            }
        }
    }
}

#[test]
fn whatever_is_done_to_the_table_it_is_made_good() {
    let Some(home) = Home::start("tampering", House::plan().with_second_wan(), &switched_on("")) else {
        return;
    };
    let mut promise = Promise::of(Duration::from_secs(1));
    for attack in [
        "flush table inet lanward\n",
        "flush set inet lanward lan_only_on\n",
        "flush chain inet lanward lan_only_out\n",
        "delete element inet lanward lan_only_dest_devices { \"wan0\" }\n",
        "insert rule inet lanward forward accept\n",
        "insert rule inet lanward lan_only_out udp dport 50000 return\n",
        "add chain inet lanward mine { type filter hook forward priority -6; }\nadd rule inet lanward mine accept\n",
        "add table inet lanward { flags dormant; }\n",
        "delete table inet lanward\n",
        "delete table inet lanward\ntable inet lanward { set lan_only_on { type ipv4_addr; }; }\n",
        "delete table inet lanward\ntable inet lanward { chain forward { type filter hook input priority 0; }; }\n",
        "add element inet lanward lan_only_pause { udp }\n",
        "flush ruleset\n",
    ] {
        home.house.router().nft(attack);
        let made_good = promise.takes(|| is_kept_in(&home)).is_some();
        let status = home.daemon.must("status", &json!({}));
        assert!(made_good, "{attack}: {status}\n{}", home.daemon.log());
        assert_eq!(status["lan_only"]["enforced"], json!(true), "{attack}: {status}");
        home.house.reload_fw4();
    }
    assert!(promise.is_kept(), "{promise:?}");
}

#[test]
fn the_run_directory_may_be_in_any_state() {
    let Some(mut home) = Home::start("run directory", House::plan(), &switched_on("")) else {
        return;
    };
    let run = home.house.directory().join("run");
    fs::remove_dir_all(&run).expect("removed");
    home.reload(&switched_on("option level 'strict'"));
    assert!(
        within(Duration::from_secs(2), || run.join("ruleset.nft").exists()),
        "it is made again"
    );
    home.daemon.kill9();
    fs::remove_dir_all(&run).expect("removed");
    fs::write(&run, "a file").expect("written");
    home.house.router().nft("delete table inet lanward\n");
    home.daemon.start_again().expect("the switch does not depend on it");
    assert!(is_kept_in(&home));
    assert!(home
        .daemon
        .logs("script for the firewall's include", Duration::from_secs(2)));
}

#[test]
fn a_configuration_file_of_any_kind_is_answered() {
    type Make = fn(&std::path::Path);
    let Some(home) = Home::start("odd files", House::plan(), &switched_on("")) else {
        return;
    };
    let path = home.house.config_dir().join("lanward");
    let make: [(&str, Make); 4] = [
        ("a pipe", |path| {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
        }),
        ("a directory", |path| fs::create_dir(path).expect("a directory")),
        ("endless", |path| {
            std::os::unix::fs::symlink("/dev/zero", path).expect("a link");
        }),
        ("a loop", |path| std::os::unix::fs::symlink(path, path).expect("a link")),
    ];
    for (what, make) in make {
        let _ = fs::remove_file(&path);
        make(&path);
        let reply = home.daemon.call("reload", &json!({}));
        let reply: Value = reply.unwrap_or_else(|status| panic!("{what}: status {status}"));
        assert_eq!(reply["applied"], json!(false), "{what}: {reply}");
        assert!(is_kept_in(&home), "{what}");
        let _ = fs::remove_dir(&path);
    }
    let _ = fs::remove_file(&path);
    assert_eq!(home.reload(&switched_on(""))["applied"], json!(true));
}

#[test]
fn print_names_every_file_that_it_could_not_read() {
    let scratch = Scratch::new("print");
    for file in ["lanward", "firewall", "network"] {
        for name in ["lanward", "firewall", "network"] {
            scratch.write(name, if name == file { "config zone '" } else { "" });
        }
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_lanward"))
            .args(["print", "--config-dir"])
            .arg(&*scratch)
            .output()
            .expect("it runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            complaint.contains(&format!("{file}: ")) && complaint.contains("never closed"),
            "{file}: {complaint}"
        );
        assert_eq!(output.status.code(), Some(3), "{file}");
    }
}
