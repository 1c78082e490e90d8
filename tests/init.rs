//! The init script and what else the package runs on a router, by busybox ash in a root file system of its own: with the real program, the real nft in a
//! network namespace, a bus and a procd that does what procd's sources say. `LANWARD_OPENWRT_ROOT` names a tree with OpenWrt's own rc.common,
//! functions.sh, procd.sh, jshn.sh, jshn and jsonfilter, which then run instead of the stand-ins in `tests/init/root`.

#[path = "init/procd.rs"]
mod procd;
#[path = "init/router.rs"]
mod router;

use lanward::system::ubus::{Bus, Incoming, Object};
use lanward_rig::broker::Tested;
use lanward_rig::namespace::Namespace;
use lanward_rig::netifd::Netifd;
use lanward_rig::report_line::{not_asked, skip, this_test};
use lanward_rig::scratch::Scratch;
use lanward_rig::user::{as_user, NOBODY};
use procd::Era;
use router::{which, Router};
use serde_json::{json, Value};
use std::fs;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::Duration;

const ON: &str = "
config lanward 'lanward'

config lan_only 'lan_only'
	option enabled '1'
	list source_zone 'lan'
	list dest_zone 'wan'
";
const GATES: &str = "
config gate 'ssh'
	option enabled '1'
	list service 'tcp:22'
	list service 'tcp:2222>192.168.77.100:22'

config witness 'imaps'
	option gate 'ssh'
	option port '993'
";
/// The second gate has a mistake.
const WRONG: &str = "
config gate 'web'
	option enabled '1'
	option window '5 minuts'
	list service 'tcp:8443'
";
const SCRIPT: &str = "/var/run/lanward/ruleset.nft";
const ERAS: [Era; 2] = [Era::Silent, Era::Telling];

fn possible() -> bool {
    let missing: Vec<&str> = ["busybox", "nft", "unshare", "nsenter", "ldd"]
        .into_iter()
        .filter(|tool| which(tool).is_none())
        .collect();
    if !missing.is_empty() {
        skip(&this_test(), &format!("no {}", missing.join(", ")));
        return false;
    }
    Namespace::can_be_made(&this_test())
}

fn gated() -> String {
    [ON, GATES].concat()
}

/// Loads the firewall's include, as fw4 does it.
fn start_firewall(router: &Router) {
    router.must(&["nft", "-f", "/usr/share/nftables.d/ruleset-post/50-lanward.nft"]);
}

/// Everything but the daemon works. It runs, does nothing, and when it is to end, what `last` says.
fn hold_the_daemon(router: &Router, last: &str) {
    let (program, real) = (router.path("/usr/sbin/lanward"), router.path("/usr/sbin/real"));
    fs::rename(program, real).expect("our own");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = run ] || exec real \"$@\"\ntrap '{last} exit' TERM\ntrap : HUP\nwhile :; do sleep 0.1; done\n"
    );
    router.plant("/usr/sbin/lanward", &script);
}

#[test]
fn at_boot_the_table_and_the_rules_are_there_before_the_firewall_starts_and_nothing_is_told_to_it() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Telling, &gated());
    hold_the_daemon(&router, "");
    router.lanward("boot");
    assert_eq!(router.read(SCRIPT), router.must(&["lanward", "print"]));
    assert_eq!(router.leftovers(), ["lanward", "lanward.rules"]);
    assert_eq!(fs::read_dir(router.path("/var/run/lanward")).expect("made").count(), 1);
    assert_eq!(router.published(), router.rules());
    assert_eq!(router.rules()["firewall"].as_array().map(Vec::len), Some(2));
    assert!(!router.has_table());
    start_firewall(&router);
    let table = router.must(&["nft", "list", "table", "inet", "lanward"]);
    assert!(
        table.contains("chain forward") && table.contains("chain prerouting"),
        "{table}"
    );
    router.procd().settle();
    assert_eq!(router.procd().signals(), 0);
    assert_eq!(router.log(), "");
}

#[test]
fn boot_does_not_need_the_bus() {
    if !possible() {
        return;
    }
    let router = Router::without_bus(ON);
    router.run(&["/etc/init.d/lanward", "boot"]);
    start_firewall(&router);
    assert!(router.has_table());
}

#[test]
fn the_links_put_it_before_the_firewall_also_in_an_image_that_is_being_built() {
    if !possible() {
        return;
    }
    let router = Router::without_bus(ON);
    let root = router.path("");
    let shell = which("bash").expect("the image builder runs with it");
    let ran = Command::new(shell)
        .arg(root.join("etc/rc.common"))
        .arg(root.join("etc/init.d/lanward"))
        .arg("enable")
        .env("IPKG_INSTROOT", &root)
        .output()
        .expect("bash runs");
    assert!(ran.status.success(), "{ran:?}");
    for link in ["S14lanward", "K10lanward"] {
        let target = fs::read_link(root.join("etc/rc.d").join(link)).expect("a link");
        assert_eq!(target.to_str(), Some("../init.d/lanward"));
    }
    assert_eq!(router.leftovers(), [""; 0]);
    // Nothing of the building machine is touched by the removal from an image.
    let ran = Command::new("sh")
        .arg(root.join("usr/lib/opkg/info/lanward.prerm-pkg"))
        .env("IPKG_INSTROOT", &root)
        .output()
        .expect("sh runs");
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
}

#[test]
fn a_wrong_configuration_renders_its_closed_form_and_publishes_no_rule_for_the_gate_with_the_mistake() {
    if !possible() {
        return;
    }
    let lanward = [ON, GATES, WRONG]
        .concat()
        .replace("enabled '1'\n\tlist source", "enabled 'perhaps'\n\tlist source");
    let router = Router::new(Era::Silent, &lanward);
    assert_eq!(router.run(&["lanward", "print"]).status, Some(3));
    hold_the_daemon(&router, "");
    router.lanward("boot");
    start_firewall(&router);
    let switch = router.must(&["nft", "list", "set", "inet", "lanward", "lan_only_on"]);
    assert!(switch.contains("elements = { udp }"), "{switch}");
    assert_eq!(router.published(), router.rules());
    let rules = router.rules().to_string();
    assert!(rules.contains("gate ssh") && !rules.contains("gate web"), "{rules}");
}

#[test]
fn without_a_configuration_the_defaults_are_rendered() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Silent, "");
    fs::remove_file(router.path("/etc/config/lanward")).expect("written before");
    router.lanward("boot");
    start_firewall(&router);
    assert!(router.has_table());
    router.wait_for_daemon();
}

#[test]
fn what_cannot_be_rendered_or_checked_leaves_no_include_a_line_in_the_log_and_the_boot_going_on() {
    if !possible() {
        return;
    }
    let broken = [
        (
            "/usr/sbin/nft",
            "#!/bin/sh\necho 'ruleset.nft:3:1-2: Error: none of this' >&2\nexit 1\n",
            "none of this",
        ),
        ("/usr/sbin/nft", "", "nft"),
        (
            "/usr/sbin/lanward",
            "#!/bin/sh\necho half\nexit 134\n",
            "print does not work",
        ),
        ("/usr/sbin/lanward", "", "print does not work"),
    ];
    for (program, script, line) in broken {
        let router = Router::without_bus(ON);
        let real = router.path(program).with_extension("real");
        fs::rename(router.path(program), &real).expect("our own");
        if !script.is_empty() {
            router.plant(program, script);
        }
        // Also the status: procd does not mind, but a person at the console does.
        router.run(&["/etc/init.d/lanward", "boot"]);
        assert!(!router.path("/var/run/lanward").exists(), "{program} {script:?}");
        let log = router.log();
        assert!(
            log.contains("lanward: not loaded with the firewall") && log.contains(line),
            "{program}: {log}"
        );
        start_firewall_without_table(&router, &real, program);
        // It is tried again with the next start.
        router.run(&["/etc/init.d/lanward", "start"]);
        assert_ne!(router.read(SCRIPT), "", "{program} {script:?}: {}", router.log());
    }
}

#[test]
fn the_boot_waits_for_a_slow_nft_and_goes_on_when_somebody_ends_one_that_hangs() {
    if !possible() {
        return;
    }
    for (script, is_checked) in [
        ("#!/bin/sh\necho $$ >/tmp/begun\nsleep 2\nexec nft.real \"$@\"\n", true),
        ("#!/bin/sh\necho $$ >/tmp/begun\nexec sleep 3600\n", false),
    ] {
        let router = Router::without_bus(ON);
        let real = router.path("/usr/sbin/nft").with_extension("real");
        fs::rename(router.path("/usr/sbin/nft"), &real).expect("our own");
        router.plant("/usr/sbin/nft", script);
        std::thread::scope(|scope| {
            let boot = scope.spawn(|| router.run(&["/etc/init.d/lanward", "boot"]));
            let begun = || Some(router.read("/tmp/begun")).filter(|pid| pid.ends_with('\n'));
            let pid = router.wait("nft's start", begun);
            assert!(!boot.is_finished(), "{script}");
            if !is_checked {
                router.run(&["kill", pid.trim()]);
            }
            assert!(boot.join().is_ok());
        });
        fs::rename(&real, router.path("/usr/sbin/nft")).expect("our own");
        start_firewall(&router);
        assert_eq!(router.has_table(), is_checked, "{script}: {}", router.log());
        assert_eq!(
            router.log().contains("not loaded with the firewall"),
            !is_checked,
            "{script}"
        );
        // Not even half of one is left for the firewall to trip over.
        assert_eq!(router.path(SCRIPT).exists(), is_checked, "{script}");
    }
}

/// The include of nothing is no error. Then the real program is back.
fn start_firewall_without_table(router: &Router, real: &std::path::Path, program: &str) {
    fs::rename(real, router.path(program)).expect("our own");
    start_firewall(router);
    assert!(!router.has_table());
}

#[test]
fn what_is_published_is_what_the_program_says_to_the_letter() {
    if !possible() {
        return;
    }
    let many = ["", "1", "2", "3"].map(|n| {
        GATES
            .replace("'ssh'", &format!("'ssh{n}'"))
            .replace("'imaps'", &format!("'imaps{n}'"))
    });
    let ports = many
        .iter()
        .enumerate()
        .map(|(n, gate)| gate.replace("tcp:22", &format!("tcp:{}22", n + 1)));
    let lanward = ports.fold(ON.to_string(), |text, gate| text + &gate);
    let router = Router::new(Era::Silent, &lanward);
    router.lanward("start");
    assert_eq!(router.rules()["firewall"].as_array().map(Vec::len), Some(8));
    assert_eq!(router.published(), router.rules());
    // A fresh installation on a running router: fw4 has to be told, once.
    router.procd().settle();
    assert_eq!(router.firewall_reloads(), 1);
    assert_eq!(router.procd().starts(), 1);
}

#[test]
fn a_reload_tells_the_firewall_of_changed_rules_once_and_restarts_nothing() {
    if !possible() {
        return;
    }
    for era in ERAS {
        let router = Router::new(era, &gated());
        router.lanward("boot");
        router.wait_for_daemon();
        router.procd().settle();
        let (pid, told) = (router.procd().pid(), router.firewall_reloads());
        assert!(pid.is_some());
        // On 25.12 the data of a new instance are news by themselves; at boot nobody listens yet.
        assert!(told == 0 || era == Era::Telling);

        // Nothing new, as the firewall's own change tells it, or the network's.
        for package in ["firewall", "network", "lanward"] {
            router.procd().config_changed(package);
            router.procd().settle();
            assert_eq!(
                router.firewall_reloads(),
                usize::from(package == "firewall"),
                "{era:?} {package}"
            );
        }
        assert_eq!(router.procd().signals(), 3);
        assert_eq!(router.published(), router.rules());

        let before = router.rules();
        router.configure(&gated().replace("'tcp:22'", "'tcp:2200'"));
        assert_ne!(router.rules(), before);
        router.procd().config_changed("lanward");
        router.procd().settle();
        assert_eq!(router.firewall_reloads(), 1, "{era:?}");
        assert_eq!(router.published(), router.rules());

        // The gates go, and with them their rules.
        router.configure(ON);
        router.procd().config_changed("lanward");
        router.procd().settle();
        assert_eq!(router.firewall_reloads(), 1, "{era:?}");
        assert_eq!(router.published(), Value::Null);

        assert_eq!((router.procd().pid(), router.procd().starts()), (pid, 1), "{era:?}");
        assert_eq!(router.wait_for_daemon()["gates"], json!([]));
    }
}

#[test]
fn a_reload_of_a_wrong_configuration_or_of_none_changes_nothing_and_says_why() {
    if !possible() {
        return;
    }
    for era in ERAS {
        let router = Router::new(era, &gated());
        router.lanward("boot");
        router.wait_for_daemon();
        router.procd().settle();
        router.firewall_reloads();
        let (rules, table) = (router.rules(), chains(&router));

        router.configure(&[ON, WRONG].concat());
        router.procd().config_changed("lanward");
        router.procd().settle();
        assert_ne!(router.rules(), rules);
        assert_eq!(router.published(), rules, "{era:?}");
        let problems = router.wait("the problem", || {
            let status = router.wait_for_daemon();
            (status["applied"] == json!(false)).then(|| status["problems"].to_string())
        });
        assert!(problems.contains("lanward.web.window"), "{problems}");

        fs::remove_file(router.path("/etc/config/lanward")).expect("written before");
        router.procd().config_changed("lanward");
        router.procd().settle();
        assert_eq!(router.published(), rules, "{era:?}");

        assert_eq!((router.firewall_reloads(), chains(&router)), (0, table), "{era:?}");
        assert_eq!(router.procd().starts(), 1);
    }
}

/// The table without counters and times.
fn chains(router: &Router) -> String {
    router.must(&["nft", "--stateless", "list", "table", "inet", "lanward"])
}

#[test]
fn starting_twice_changes_nothing_and_a_restart_keeps_the_table() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Silent, &gated());
    router.lanward("start");
    router.wait_for_daemon();
    router.procd().settle();
    router.firewall_reloads();
    let handle = handle(&router);
    let (pid, signals) = (router.procd().pid(), router.procd().signals());
    router.lanward("start");
    router.procd().settle();
    assert_eq!(
        (
            router.procd().pid(),
            router.procd().signals(),
            router.firewall_reloads()
        ),
        (pid, signals, 0)
    );

    router.lanward("restart");
    router.wait_for_daemon();
    assert_ne!(router.procd().pid(), pid);
    assert_eq!(crate::handle(&router), handle);
    assert_eq!(router.published(), router.rules());
}

/// The kernel gives every table its own.
fn handle(router: &Router) -> String {
    let table = router.must(&["nft", "--handle", "--stateless", "list", "table", "inet", "lanward"]);
    table.lines().next().unwrap_or_default().to_string()
}

#[test]
fn stopped_the_daemon_leaves_what_it_enforces_and_uninstalled_nothing() {
    if !possible() {
        return;
    }
    for era in ERAS {
        let router = Router::new(era, &gated());
        router.lanward("start");
        router.wait_for_daemon();
        router.procd().settle();
        router.firewall_reloads();
        let table = chains(&router);
        router.lanward("stop");
        router.wait("the daemon's end", || router.procd().pid().is_none().then_some(()));
        router.procd().settle();
        assert_eq!(chains(&router), table);
        // What let people in through fw4 goes with the service's data: at once where procd tells, else with the firewall's next reload.
        assert_eq!(router.published(), Value::Null);
        assert_eq!(router.firewall_reloads(), usize::from(era == Era::Telling));
        // A change of the configuration starts nothing that was stopped.
        router.procd().config_changed("lanward");
        router.procd().settle();
        router.lanward("reload");
        assert_eq!(router.procd().pid(), None);

        for keys in [false, true] {
            router.lanward("start");
            router.wait_for_daemon();
            fs::create_dir_all(router.path("/etc/lanward")).expect("our own");
            if keys {
                router.write("/etc/lanward/laptop.key", "precious");
            }
            let config = router.read("/etc/config/lanward");
            router.procd().settle();
            router.firewall_reloads();
            router.lanward("uninstall");
            assert!(!router.has_table());
            assert_eq!(router.leftovers(), [""; 0]);
            assert_eq!(router.procd().pid(), None);
            router.procd().settle();
            assert_eq!(router.published(), Value::Null);
            // Where procd tells that the data went, too, it can be too long before for both to be one.
            let reloads = router.firewall_reloads();
            assert!(
                reloads == 1 || (era == Era::Telling && reloads == 2),
                "{era:?} {reloads}"
            );
            assert!(!router.has_table());
            assert_eq!(router.path("/etc/lanward").exists(), keys);
            assert_eq!(router.read("/etc/config/lanward"), config);
        }
        // Removed as apk does it: stopped first. Nothing is there to be taken away, and that is no error.
        router.lanward("uninstall");
    }
}

#[test]
fn what_a_daemon_puts_back_while_it_ends_is_taken_away_too() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Silent, &gated());
    hold_the_daemon(
        &router,
        "sleep 0.5; nft add table inet lanward; mkdir -p /var/run/lanward/again;",
    );
    router.lanward("start");
    start_firewall(&router);
    router.procd().settle();
    router.lanward("uninstall");
    std::thread::sleep(Duration::from_secs(1));
    assert!(!router.has_table());
    assert_eq!(router.leftovers(), [""; 0]);
}

#[test]
fn an_upgrade_keeps_the_table_its_list_and_the_time_that_is_left_on_it() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Silent, &gated());
    let postinst = |upgrade: &str| {
        let line = format!("export PKG_UPGRADE={upgrade}; . /lib/functions.sh; default_postinst lanward.postinst");
        router.must(&["ash", "-c", &line]);
    };
    postinst("0");
    let ready = |times| {
        router.wait("a start", || (router.procd().starts() == times).then_some(()));
        router.wait_for_daemon();
    };
    ready(1);
    assert!(router.path("/etc/rc.d/S14lanward").is_symlink());
    router.must(&["lanward", "gate", "admit", "ssh", "203.0.113.9", "600"]);
    router.must(&["lanward", "pause", "30"]);
    let (table, left) = (handle(&router), seconds_left(&router));
    assert!(left > 590, "{left}");

    // opkg: the old package's prerm, other files, the new package's postinst.
    std::thread::sleep(Duration::from_secs(2));
    router.must(&[
        "ash",
        "-c",
        "export PKG_UPGRADE=1; . /lib/functions.sh; default_prerm lanward.prerm",
    ]);
    router.wait("the daemon's end", || router.procd().pid().is_none().then_some(()));
    assert_eq!(handle(&router), table);
    another_program(&router);
    postinst("1");
    ready(2);
    let after = seconds_left(&router);
    assert_eq!(handle(&router), table);
    assert!(after < left && left - after < 60, "{left} {after}");

    // apk: no more than a start, while the old program still runs.
    another_program(&router);
    postinst("1");
    ready(3);
    assert_eq!(handle(&router), table);
    assert!(seconds_left(&router) <= after);
    assert_eq!(router.published(), router.rules());
    let paused = router.wait_for_daemon()["lan_only"]["paused_seconds"].as_u64();
    assert!(paused.is_some_and(|seconds| seconds > 1700), "{paused:?}");

    // And removed.
    router.must(&["ash", "-c", ". /lib/functions.sh; default_prerm lanward.prerm"]);
    assert!(!router.has_table() && !router.path("/etc/rc.d/S14lanward").is_symlink());
    assert_eq!((router.leftovers(), router.published()), (Vec::new(), Value::Null));
}

/// The same program in other bytes.
fn another_program(router: &Router) {
    let path = router.path("/usr/sbin/lanward");
    let mut bytes = fs::read(&path).expect("our own");
    bytes.push(0);
    let (new, mode) = (path.with_extension("new"), fs::Permissions::from_mode(0o755));
    fs::write(&new, bytes).expect("our own");
    fs::set_permissions(&new, mode).expect("our own");
    fs::rename(new, path).expect("our own");
}

fn seconds_left(router: &Router) -> u64 {
    let list: Value = serde_json::from_str(&router.must(&["lanward", "gate", "list", "ssh", "--json"])).expect("JSON");
    let entry = &list["entries"][0];
    assert_eq!(entry["address"], "203.0.113.9");
    entry["expires"].as_u64().expect("seconds")
}

#[test]
fn root_writes_through_no_link_that_the_daemons_user_could_have_left() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Silent, &gated());
    router.write("/etc/victim", "precious");
    fs::create_dir(router.path("/var/run/lanward")).expect("our own");
    for name in ["ruleset.nft", "ruleset.nft.new", "rules.json", "switch.json.new"] {
        symlink("/etc/victim", router.path("/var/run/lanward").join(name)).expect("our own");
    }
    // The program does not get as far as writing.
    router.plant(
        "/usr/sbin/lanward",
        "#!/bin/sh\n[ \"$1\" = run ] && exec sleep 1000\necho '{\n}'\n",
    );
    for command in ["boot", "start", "reload", "stop"] {
        router.lanward(command);
    }
    assert_eq!(router.read("/etc/victim"), "precious");
    router.lanward("uninstall");
    assert_eq!(
        (router.read("/etc/victim").as_str(), router.leftovers()),
        ("precious", Vec::new())
    );
    // Nor through the directory's own name.
    fs::create_dir(router.path("/etc/other")).expect("our own");
    symlink("/etc/other", router.path("/var/run/lanward")).expect("our own");
    router.lanward("boot");
    router.lanward("uninstall");
    assert_eq!(fs::read_dir(router.path("/etc/other")).expect("it stays").count(), 0);
    assert_eq!(router.leftovers(), [""; 0]);
}

#[test]
fn the_daemon_gets_its_user_where_there_is_one() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Silent, ON);
    router.plant(
        "/usr/sbin/lanward",
        "#!/bin/sh\n[ \"$1\" = run ] && exec sleep 1000\necho '{\n}'\n",
    );
    router.lanward("start");
    assert_eq!(router.procd().command(), json!(["/usr/sbin/lanward", "run"]));
    let passwd = router.read("/etc/passwd");
    router.write(
        "/etc/passwd",
        &(passwd + "lanward:x:32768:32768::/var/run/lanward:/bin/false\n"),
    );
    router.lanward("start");
    assert_eq!(
        router.procd().command(),
        json!(["/usr/sbin/lanward", "run", "--user", "lanward"])
    );
    assert_eq!(router.procd().starts(), 2);
}

#[test]
fn an_upgrade_puts_names_and_sections_into_the_configuration_once_and_keeps_everything_else() {
    if !possible() {
        return;
    }
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/files/etc/config/lanward")).expect("ours");
    let gate = "config gate 'ssh'\n\tlist service 'tcp:22'\n";
    let named = "\nconfig lanward 'lanward'\n";
    let switch = "\nconfig lan_only 'lan_only'\n";
    let cases = [
        (shipped.clone(), shipped),
        (String::new(), [named, switch].concat()),
        (gate.into(), [gate, named, switch].concat()),
        // Comments, quotes and other sections stay as they are.
        (
            format!("# mine\nconfig lan_only # the switch\n\toption enabled 'yes'\n\n{gate}"),
            format!("# mine\nconfig lan_only 'lan_only' # the switch\n\toption enabled 'yes'\n\n{gate}{named}"),
        ),
        (
            "\tconfig \"lan_only\"\n\toption level seed\nconfig 'lanward'\n\n".into(),
            "config lan_only 'lan_only'\n\toption level seed\nconfig lanward 'lanward'\n\n".into(),
        ),
        // A second one is the user's mistake, named by `check`; it does not become another one.
        (
            format!("config lan_only\nconfig lan_only\n{named}"),
            format!("config lan_only 'lan_only'\nconfig lan_only\n{named}"),
        ),
        (
            format!("config lan_only\n{switch}{named}"),
            format!("config lan_only\n{switch}{named}"),
        ),
        // Somebody's own name is not ours to change.
        (
            format!("config lan_only 'home'\n{named}"),
            format!("config lan_only 'home'\n{named}"),
        ),
        // Not a section, whatever it looks like.
        (
            format!("#config lan_only\n{named}"),
            format!("#config lan_only\n{named}{switch}"),
        ),
    ];
    let router = Router::without_bus("");
    for (before, after) in cases {
        router.configure(&before);
        for _ in 0..2 {
            router.must(&["ash", "-c", "cd /etc/uci-defaults && . ./lanward"]);
            assert_eq!(router.read("/etc/config/lanward"), after, "from {before:?}");
        }
        let read = lanward::uci::parse(after.as_bytes());
        assert!(read.is_ok_and(|package| package.of_kind("lan_only").next().is_some()));
    }
    fs::remove_file(router.path("/etc/config/lanward")).expect("our own");
    router.must(&["ash", "-c", "cd /etc/uci-defaults && . ./lanward"]);
    assert_eq!(router.read("/etc/config/lanward"), [named, switch].concat());
}

#[test]
fn the_keys_directory_becomes_the_users_own_and_nothing_behind_a_link_does() {
    if !possible() {
        return;
    }
    let router = Router::without_bus(ON);
    let owner = |name: &str| fs::symlink_metadata(router.path(name)).map(|meta| (meta.uid(), meta.mode() & 0o777));
    let upgrade = || router.must(&["ash", "-c", "cd /etc/uci-defaults && . ./lanward"]);
    upgrade();
    assert_eq!(owner("/etc/lanward").expect("made"), (0, 0o700));
    let passwd = router.read("/etc/passwd");
    router.write(
        "/etc/passwd",
        &(passwd + "lanward:x:32768:32768::/var/run/lanward:/bin/false\n"),
    );
    router.write("/etc/group", "root:x:0:\nlanward:x:32768:\n");
    router.write("/etc/lanward/laptop.key", "precious");
    router.write("/etc/victim", "root's");
    symlink("/etc/victim", router.path("/etc/lanward/link")).expect("our own");
    // Stands in for ubusd: says when it is to read its files again.
    router.plant(
        "/usr/sbin/ubusd",
        "#!/bin/sh\ntrap 'echo told >>/tmp/ubusd' HUP\n: >/tmp/ubusd\nwhile sleep 0.1; do :; done\n",
    );
    let mut ubusd = router.spawn(&["/usr/sbin/ubusd"]);
    router.wait("ubusd", || router.path("/tmp/ubusd").exists().then_some(()));
    upgrade();
    assert_eq!(owner("/etc/lanward").expect("there"), (32768, 0o700));
    assert_eq!(owner("/etc/lanward/laptop.key").expect("there").0, 32768);
    assert_eq!(owner("/etc/victim").expect("there").0, 0);
    router.wait("ubusd to hear", || {
        router.read("/tmp/ubusd").contains("told").then_some(())
    });
    let _ = ubusd.kill();
    let _ = ubusd.wait();
}

#[test]
fn the_firewall_itself_loads_the_table_and_takes_the_rules() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Telling, &gated());
    if !router.path("/sbin/fw4").exists() {
        return not_asked(
            &this_test(),
            "LANWARD_OPENWRT_ROOT names no tree with firewall4 and ucode",
        );
    }
    router.lanward("boot");
    let ruleset = router.must(&["fw4", "print"]);
    for rule in [
        "tcp dport 22 meta mark and 0x10000000 == 0x10000000 counter accept comment \"!fw4: ubus:lanward[instance1] rule 0\"",
        "tcp dport 2222 meta mark and 0x10000000 == 0x10000000 counter dnat 192.168.77.100:22 comment \"!fw4: ubus:lanward[instance1] redirect 1\"",
        "include \"/usr/share/nftables.d/ruleset-post/50-lanward.nft\"",
    ] {
        assert!(ruleset.contains(rule), "{rule}\n{ruleset}");
    }
    let ran = router.run(&["fw4", "-q", "start"]);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
    assert!(router.has_table());
    let input = router.must(&["nft", "list", "chain", "inet", "fw4", "input_wan"]);
    assert!(input.contains("ubus:lanward[instance1] rule 0"), "{input}");
    // Gates that go take their rules with them.
    router.wait_for_daemon();
    router.configure(ON);
    router.lanward("reload");
    router.must(&["fw4", "-q", "reload"]);
    let input = router.must(&["nft", "list", "chain", "inet", "fw4", "input_wan"]);
    assert!(!input.contains("lanward") && router.has_table(), "{input}");
    // And so does the package.
    router.configure(&gated());
    router.lanward("reload");
    router.lanward("uninstall");
    router.must(&["fw4", "-q", "reload"]);
    let ruleset = router.must(&["nft", "list", "ruleset"]);
    assert!(
        ruleset.contains("table inet fw4") && !ruleset.contains("lanward"),
        "{ruleset}"
    );
}

/// What somebody who is not root can do on the bus with an access file, of what the daemon does: in order, each as it went.
fn on_the_bus_as_nobody(access: &Value) -> Vec<String> {
    let scratch = Scratch::for_everybody("acl");
    fs::create_dir(scratch.join("acl.d")).expect("a directory of our own");
    let access = access.to_string();
    let access = access.replace("\"user\":\"lanward\"", "\"user\":\"nobody\"");
    fs::write(scratch.join("acl.d/lanward.json"), access).expect("our own");
    let socket = scratch.socket();
    let broker = Tested::start(&socket, Some(&scratch.join("acl.d")));
    let netifd = Netifd::start(&socket, json!({ "interface": [] })).expect("the bus is there");
    let seen = as_user(NOBODY, NOBODY, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(daemons_words(&socket))
    });
    drop((netifd, broker));
    seen
}

async fn daemons_words(socket: &std::path::Path) -> Vec<String> {
    let object = Object {
        name: lanward::report::OBJECT,
        methods: lanward::report::METHODS,
    };
    let mut bus = Bus::new(socket, object);
    bus.subscribe("network.interface");
    let mut seen = Vec::new();
    let mut asked = Vec::new();
    while let Ok(incoming) = tokio::time::timeout(Duration::from_millis(500), bus.next()).await {
        match incoming {
            Incoming::Up => {
                seen.push("published".into());
                for method in ["dump", "up"] {
                    asked.push((bus.call("network.interface", method, serde_json::Map::new()), method));
                }
            }
            Incoming::Down(why) => seen.push(format!("down: {why}")),
            Incoming::Subscribed { path } => seen.push(format!("subscribed to {path}")),
            Incoming::Refused { what, .. } => seen.push(format!("refused: {what}")),
            Incoming::Answer { ticket, result } => {
                let method = asked
                    .iter()
                    .find(|(asked, _)| *asked == ticket)
                    .map(|(_, method)| *method);
                seen.push(format!(
                    "{} {}",
                    method.unwrap_or_default(),
                    if result.is_ok() { "answered" } else { "denied" }
                ));
            }
            _ => {}
        }
    }
    seen.sort();
    seen.dedup();
    seen
}

#[test]
fn the_buss_access_file_grants_what_the_daemon_needs_and_every_word_of_it_is_needed() {
    if !possible() {
        return;
    }
    let file = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/files/usr/share/acl.d/lanward.json"
    ));
    let file: Value = serde_json::from_str(&file.expect("ours")).expect("JSON");
    let all = [
        "dump answered",
        "published",
        "subscribed to network.interface",
        "up denied",
    ];
    assert_eq!(on_the_bus_as_nobody(&file), all);
    for grant in ["publish", "access", "subscribe", "listen"] {
        let mut less = file.clone();
        assert!(less.as_object_mut().expect("an object").remove(grant).is_some());
        assert_ne!(on_the_bus_as_nobody(&less), all, "without {grant}");
    }
}

#[test]
fn as_its_own_user_the_daemon_replaces_what_was_rendered_at_boot() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Silent, &gated());
    if !router.must(&["lanward", "--help"]).contains("--user") {
        return not_asked(&this_test(), "the program knows no --user");
    }
    let passwd = router.read("/etc/passwd");
    router.write(
        "/etc/passwd",
        &(passwd + "lanward:x:65534:65534::/var/run/lanward:/bin/false\n"),
    );
    router.write("/etc/group", "root:x:0:\nlanward:x:65534:\n");
    router.lanward("boot");
    router.wait_for_daemon();
    router.configure(ON);
    router.lanward("reload");
    let replaced = router.wait("another script", || {
        // Root's is a file of root's: another file is in its place. (Its number may be the same again.)
        fs::metadata(router.path(SCRIPT))
            .ok()
            .filter(|script| script.uid() == 65534)
    });
    assert_eq!(replaced.mode() & 0o022, 0);
    let owner = fs::metadata(router.path("/var/run/lanward")).expect("there").uid();
    assert_eq!(owner, 65534);
    start_firewall(&router);
    router.lanward("uninstall");
    assert_eq!(router.leftovers(), [""; 0]);
}

/// procd does not call off a script that is due when the service that wanted it is deleted: in service/trigger.c `trigger_del` frees the triggers, while
/// the commands in `trigger_pending` have a timer of their own. A daemon may take as long to end as its file system needs.
#[test]
fn a_reload_that_is_due_does_not_start_what_is_being_stopped() {
    if !possible() {
        return;
    }
    let router = Router::new(Era::Silent, &gated());
    hold_the_daemon(&router, "sleep 4;");
    router.lanward("start");
    router.procd().settle();
    // Due after the stop has begun, and before the daemon has ended.
    router.procd().set_delay(Duration::from_secs(2));
    router.procd().config_changed("lanward");
    router.lanward("stop");
    router.wait("the daemon's end", || router.procd().pid().is_none().then_some(()));
    router.procd().settle();
    assert_eq!(router.procd().pid(), None, "started again");
}
