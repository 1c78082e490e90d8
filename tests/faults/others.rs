//! What else works on a router beside the daemon: fw4, rpcd, nft; and files that cannot be read when it starts.

use crate::page::record;
use crate::{
    becomes_the_daemon, bring, caller, each_after_each, everything, gets_in, keeps_in, lets_out, write_program, Health,
    Part, BACK, HEALTHS, SOON, STRANGER,
};
use lanward::system::nflog::Nflog;
use lanward_rig::broker::Broker;
use lanward_rig::daemon::{program, Daemon};
use lanward_rig::home::{fw4_rules, switched_on, Home, Switch};
use lanward_rig::house::{Family, House, FAMILIES};
use lanward_rig::namespace::Namespace;
use lanward_rig::probe::{within, Connection, Promise};
use lanward_rig::report_line::this_test;
use lanward_rig::settings::Firewall;
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// An nft that has read half of what fw4 gives it, and waits for the rest.
struct HalfRead(Child);

impl HalfRead {
    fn start(house: &House) -> Self {
        let mut nft = house.router().run(|| {
            let nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn();
            nft.expect("nft is there")
        });
        let half =
            b"flush ruleset\ntable inet fw4 {\n chain input { type filter hook input priority 0; policy accept;\n";
        let pipe = nft.stdin.as_mut().expect("a pipe");
        pipe.write_all(half).expect("it reads");
        Self(nft)
    }
}

impl Drop for HalfRead {
    fn drop(&mut self) {
        // Not its end of file, which would have it complain.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether somebody who is on no list gets to the guarded port.
fn lets_a_stranger_in(house: &House) -> bool {
    let router = house.router_address("wan", Family::V4);
    house.way("internet2", "router").through(router).tcp(22) == Connection::Accepted
}

#[test]
fn whatever_becomes_of_the_firewall_and_of_rpcd_what_is_enforced_stays() {
    let Some(home) = Home::start_gated(&this_test(), House::plan(), Firewall::default(), &everything(true)) else {
        return;
    };
    let (house, daemon) = (&home.house, &home.daemon);
    daemon.must("gate_admit", &json!({ "gate": "ssh", "address": STRANGER }));
    let states: Vec<(Health, Health)> = HEALTHS
        .iter()
        .flat_map(|firewall| HEALTHS.map(|rpcd| (*firewall, rpcd)))
        .collect();
    let walk = each_after_each(states.len());
    let (mut rpcd, mut half_read) = (None, None);
    let (mut lost, mut promise) = (0, Promise::of(BACK));
    for (step, state) in walk.iter().enumerate() {
        let (firewall, to_rpcd) = states[*state];
        let which = || format!("step {step}: fw4 {firewall:?}, rpcd {to_rpcd:?}\n{}", daemon.log());
        let mut rpcd_too = || bring(&mut rpcd, to_rpcd, || Part::of_this_program("rpcd", house.directory()));
        if step % 2 == 0 {
            rpcd_too();
        }
        half_read = None;
        match firewall {
            Health::Up => house.reload_fw4(),
            Health::Frozen => half_read = Some(HalfRead::start(house)),
            // `/etc/init.d/firewall stop`, which takes ours as well.
            Health::Absent => {
                house.router().nft("flush ruleset\n");
                lost += 1;
                assert!(promise.takes(|| keeps_in(house)).is_some(), "{}", which());
            }
        }
        rpcd_too();
        assert!(keeps_in(house), "{}", which());
        assert!(
            !within(Duration::from_millis(20), || lets_a_stranger_in(house)),
            "{}",
            which()
        );
        assert!(within(SOON, || gets_in(house, 22)), "who is listed: {}", which());
        home.switch(Switch::Off);
        assert!(FAMILIES.iter().all(|family| lets_out(house, *family)), "{}", which());
        home.switch(Switch::On);
        assert!(keeps_in(house), "{}", which());
    }
    assert!(promise.is_kept(), "{promise:?}");
    drop(half_read);
    let entries = daemon.must("gate_list", &json!({}));
    assert_eq!(entries["entries"].as_array().map(Vec::len), Some(1), "{entries}");
    record(
        "others",
        &[(
            "fw4 loading its table anew, frozen (an nft that has read half of it) and stopped (which deletes every table); rpcd calling all the time, frozen and absent: \
             from each of the nine states to each other one, changed in both orders",
            format!(
                "In {} states one after the other: UDP in the range was kept in, both families, and after each of the {lost} deletions within a second; the switch turned off and \
                 on; who was on the gate's list got in, and nobody else",
                walk.len()
            ),
        )],
    );
}

/// The table but for what packets put into its sets and counters.
fn rules(house: &House) -> String {
    let list = |options: &[&str], what: &[&str]| {
        let arguments = [options, &["list"], what, &["inet", "lanward"]].concat();
        house.router().must("nft", &arguments, "")
    };
    let chains = list(&["--stateless"], &["table"]);
    let chains = chains.split_once("\tchain ").expect("it has chains").1;
    let devices = list(&[], &["table"]);
    let devices = devices.split("\tset ").filter(|set| set.contains("type ifname"));
    devices.chain([chains]).collect()
}

#[test]
fn files_that_cannot_be_read_at_a_start_take_nothing_away_that_was_there() {
    if !Namespace::can_be_made(&this_test()) {
        return;
    }
    let mut rows = Vec::new();
    for (names, table_stays) in [
        (vec!["network"], true),
        (vec!["firewall"], false),
        (vec!["firewall", "network"], true),
        (vec!["firewall", "network", "lanward"], true),
    ] {
        let mut house = House::plan().build().expect("a house");
        house.configure(&everything(true));
        house.set_firewall(Firewall::default());
        house.publish(fw4_rules(&house));
        let socket = house.directory().join("ubus.sock");
        // No netifd: nobody says what the devices are but the files.
        let _bus = Broker::start(&socket).expect("a bus");
        let mut daemon = Daemon::start(&house, &program(), caller(&socket, SOON)).unwrap_or_else(|why| panic!("{why}"));
        assert!(within(SOON, || keeps_in(&house)), "{}", daemon.log());
        daemon.kill9();
        let before = rules(&house);
        let aside = |name: &str| house.config_dir().join(name).with_extension("aside");
        for name in &names {
            // Reading a directory is the error that root can have for the asking.
            let path = house.config_dir().join(name);
            fs::rename(&path, aside(name)).expect("our own");
            fs::create_dir(&path).expect("our own");
        }
        daemon.launch().expect("it can be started");
        assert!(daemon.logs(&format!("{}: ", names[0]), SOON), "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(1500));
        let which = format!("{names:?}\n{}", daemon.log());
        assert!(keeps_in(&house), "{which}");
        assert!(!lets_a_stranger_in(&house), "{which}");
        assert_eq!(rules(&house) == before, table_stays, "{which}");
        for name in &names {
            let path = house.config_dir().join(name);
            fs::remove_dir(&path).expect("our own");
            fs::rename(aside(name), &path).expect("our own");
        }
        daemon.hang_up();
        assert!(within(SOON, || rules(&house) == before), "{}", daemon.log());
        assert!(keeps_in(&house));
        let names = names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let stays = if table_stays {
            "The table stayed as it was"
        } else {
            "The table was made from what could be read"
        };
        rows.push((
            format!("Started without netifd, an earlier daemon's table there, {names} not to be read"),
            format!("{stays}: UDP in the range kept in, both families, the gate shut to strangers; with the files readable again all was as before"),
        ));
    }
    let rows: Vec<(&str, String)> = rows.iter().map(|(done, seen)| (done.as_str(), seen.clone())).collect();
    record("unreadable", &rows);
}

#[test]
fn without_nft_everything_turns() {
    let Some(mut home) = Home::start(&this_test(), House::plan(), &switched_on("")) else {
        return;
    };
    home.daemon.kill9();
    home.house.router().nft("delete table inet lanward\n");
    // A program in its place would be seen to run: its first deed is this mark.
    let bin = home.house.directory().join("bin");
    let mark = home.house.directory().join("nft-was-run");
    fs::create_dir(&bin).expect("our own");
    for name in ["nft", "sh", "ip", "conntrack"] {
        let text = format!(
            "#!/bin/busybox sh\n: >'{}'\nexec /bin/busybox sleep 3600\n",
            mark.display()
        );
        write_program(&bin.join(name), &text);
    }
    let path = format!("PATH='{}'\nexport PATH", bin.display());
    let script = becomes_the_daemon(&home.house, "without-nft", &path);
    home.daemon.set_program(script);
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    assert!(keeps_in(&home.house), "{}", home.daemon.log());
    home.switch(Switch::Off);
    assert!(lets_out(&home.house, Family::V4));
    home.switch(Switch::On);
    home.daemon.must("pause", &json!({ "minutes": 1 }));
    home.daemon.must("resume", &json!({}));
    home.daemon.must("check", &json!({}));
    home.house.router().nft("delete table inet lanward\n");
    assert!(within(SOON, || keeps_in(&home.house)));
    assert_eq!(home.reload(&switched_on(""))["applied"], json!(true));
    assert!(!mark.exists(), "a program was run");
    record(
        "nft",
        &[(
            "In its path only programs that hang, in the place of nft, sh, ip and conntrack; then a start without a table, the switch, a pause, a check, a deleted table, a reload",
            "All done as ever: none of them was run".to_owned(),
        )],
    );
}

#[test]
fn copies_of_packets_come_when_whoever_had_their_group_is_gone() {
    let Some(mut home) = Home::start(&this_test(), House::plan(), &everything(true)) else {
        return;
    };
    home.daemon.kill9();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let other = home.house.router().run(|| {
        let _inside = runtime.enter();
        Nflog::open(lanward::ruleset::gate::GROUP, 64).map_err(|error| error.to_string())
    });
    let other = other.expect("nobody has it");
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    let told = |home: &Home| {
        let warnings = home.daemon.must("status", &json!({}))["warnings"].to_string();
        let table = home
            .house
            .router()
            .must("nft", &["list", "table", "inet", "lanward"], "");
        (
            warnings.contains("another program has group"),
            table.contains("log prefix"),
        )
    };
    assert_eq!(told(&home), (true, false), "{}", home.daemon.log());
    assert!(keeps_in(&home.house));
    runtime.block_on(async { drop(other) });
    home.daemon.must("reload", &json!({}));
    assert_eq!(told(&home), (false, true), "{}", home.daemon.log());
    record(
        "copies",
        &[(
            "Another program had the group of NFLOG that copies of packets come by when the daemon started; later it ended",
            "Everything was enforced; `status` and the log said that nobody tells who comes and goes. With the next reload the copies came".to_owned(),
        )],
    );
}
