//! People on the router and at its page who want more than is theirs.

use crate::page::record;
use crate::{call, caller, everything, gets_in, keeps_in, lets_out, SOON, STRANGER};
use lanward::report::{METHODS, OBJECT};
use lanward::system::ubus::{Bus, CallError, Incoming, Object, Status};
use lanward_rig::broker::Tested;
use lanward_rig::daemon::{program, Daemon};
use lanward_rig::home::Home;
use lanward_rig::house::{Family, House};
use lanward_rig::namespace::Namespace;
use lanward_rig::netifd::Netifd;
use lanward_rig::report_line::this_test;
use lanward_rig::settings::Firewall;
use lanward_rig::user::{as_user, NOBODY};
use lanward_rig::web::{Site, Web};
use serde_json::{json, Value};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// The names of what is in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it is there").flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// What somebody of no rights gets on a bus with the package's access file.
fn nobody_tries(socket: &Path) -> (usize, Vec<String>) {
    let socket = socket.to_owned();
    as_user(NOBODY, NOBODY, move || {
        let refused = METHODS.iter().filter(|method| {
            let arguments = json!({ "enabled": false, "persist": true, "minutes": 5, "gate": "ssh", "address": STRANGER, "name": "x" });
            let known = arguments.as_object().expect("an object").iter();
            let known = known.filter(|(name, _)| method.arguments.iter().any(|(argument, _)| argument == name));
            let known: Value = Value::Object(known.map(|(name, value)| (name.clone(), value.clone())).collect());
            let answer = call(&socket, method.name, &known, SOON);
            matches!(
                answer,
                Err(CallError::NoObject(_) | CallError::Status(Status::PermissionDenied | Status::NotFound))
            )
        });
        let refused = refused.count();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let published = [OBJECT, "network.interface"].into_iter().filter(|name| {
            runtime.block_on(async {
                let methods = &[];
                let mut bus = Bus::new(socket.clone(), Object { name, methods });
                let up = async { while !matches!(bus.next().await, Incoming::Up) {} };
                tokio::time::timeout(Duration::from_millis(500), up).await.is_ok()
            })
        });
        (refused, published.map(str::to_owned).collect())
    })
}

#[test]
fn a_local_user_with_the_buss_socket_gets_nothing() {
    if !Namespace::can_be_made(&this_test()) {
        return;
    }
    let mut house = House::plan().build().expect("a house");
    house.configure(&everything(true));
    house.set_firewall(Firewall::default());
    let place = house.directory().to_owned();
    let socket = place.join("ubus.sock");
    let bus = Tested::start(&socket, Some(&root().join("files/usr/share/acl.d")));
    let netifd = Netifd::start(&socket, house.interface_dump()).expect("netifd's stand-in");
    let daemon = Daemon::start(&house, &program(), caller(&socket, SOON)).unwrap_or_else(|why| panic!("{why}"));
    daemon.must("gate_admit", &json!({ "gate": "ssh", "address": "203.0.113.77" }));
    let before = fs::read(house.config_dir().join("lanward")).expect("our own");
    let (refused, published) = nobody_tries(&socket);
    assert_eq!((refused, published), (METHODS.len(), Vec::new()));
    assert!(keeps_in(&house));
    assert_eq!(fs::read(house.config_dir().join("lanward")).expect("our own"), before);
    let list = daemon.must("gate_list", &json!({}));
    assert_eq!(list["entries"].as_array().map(Vec::len), Some(1), "{list}");
    drop((daemon, netifd, bus));
    record(
        "local",
        &[(
            "A user without rights, with ubusd's socket and the package's `acl.d`: every method called, the names `lanward` and `network.interface` taken",
            "Every call was refused and neither name was given; switch, lists and configuration were as before".to_owned(),
        )],
    );
}

/// A request of a browser's to `/ubus`, and what comes back.
fn post(office: &Namespace, web: &Web, body: &Value) -> Value {
    let (address, body) = (web.address(), body.to_string());
    let answer = office.run(|| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let head = format!(
            "POST /ubus HTTP/1.1\r\nHost: router\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).expect("it reads");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        let mut answer = Vec::new();
        let mut buffer = [0; 65536];
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if length.is_some_and(|length: usize| body.len() >= length) {
                    return body.to_owned();
                }
            }
            let count = stream.read(&mut buffer).expect("an answer");
            assert!(count > 0, "cut off: {text}");
            answer.extend(&buffer[..count]);
        }
    });
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// `Access denied` of uhttpd's ubus module.
const ACCESS: i64 = -32002;

#[test]
fn a_session_of_the_page_does_what_its_rights_say_and_leads_nowhere_else() {
    let Some(home) = Home::start_gated(&this_test(), House::plan(), Firewall::default(), &everything(true)) else {
        return;
    };
    let place = home.house.directory().to_owned();
    let victim = place.join("victim");
    fs::write(&victim, "precious").expect("our own");
    let before = (names(&place), names(&place.join("state")));
    let home = Arc::new(Mutex::new(home));
    let office = Namespace::new().expect("one more");
    let site = Site {
        app: root().join("luci-app/luci-app-lanward"),
        stand_in: root().join("tests/browser/luci"),
        files: root().join("files"),
    };
    let web = Web::start(&office, site, Arc::clone(&home)).expect("it listens");
    let ask = |session: &str, object: &str, method: &str, arguments: &Value| {
        let params = json!([session, object, method, arguments]);
        post(
            &office,
            &web,
            &json!({ "jsonrpc": "2.0", "id": 1, "method": "call", "params": params }),
        )
    };
    let nobody = "0".repeat(32);
    let log_in = |user: &str| {
        let answer = ask(
            &nobody,
            "session",
            "login",
            &json!({ "username": user, "password": "test" }),
        );
        answer["result"][1]["ubus_rpc_session"]
            .as_str()
            .map(str::to_owned)
            .unwrap_or_else(|| panic!("{answer}"))
    };
    let (reader, full) = (log_in("reader"), log_in("root"));
    let may = |session: &str| -> Vec<&str> {
        // Nothing that changes anything comes without its arguments but these.
        let harmless = METHODS
            .iter()
            .filter(|method| !["ledger_erase", "ledger_commit", "resume"].contains(&method.name));
        let allowed =
            harmless.filter(|method| ask(session, OBJECT, method.name, &json!({}))["error"]["code"] != json!(ACCESS));
        allowed.map(|method| method.name).collect()
    };
    let (for_nobody, for_reader, for_full) = (may(&nobody), may(&reader), may(&full));
    assert_eq!(for_nobody, Vec::<&str>::new());
    assert!(for_reader.iter().all(|method| for_full.contains(method)));
    let more: Vec<&str> = for_full
        .iter()
        .filter(|method| !for_reader.contains(method))
        .copied()
        .collect();
    for method in ["ledger_erase", "resume"] {
        assert_eq!(
            ask(&reader, OBJECT, method, &json!({}))["error"]["code"],
            json!(ACCESS),
            "{method}"
        );
    }
    for method in ["ledger_commit", "ledger_import"] {
        assert_eq!(
            ask(&full, OBJECT, method, &json!({}))["error"]["code"],
            json!(ACCESS),
            "{method}"
        );
    }
    // Other objects, other files, other ways of writing a name.
    let mut refused = 0;
    for (object, method, arguments) in [
        ("file", "read", json!({ "path": "/etc/shadow" })),
        (
            "file",
            "read",
            json!({ "path": "/usr/share/lanward/../../../etc/shadow" }),
        ),
        (
            "file",
            "read",
            json!({ "path": "/usr/share/lanward/profiles.json/../../../../etc/shadow" }),
        ),
        ("file", "write", json!({ "path": victim, "data": "x" })),
        (
            "file",
            "exec",
            json!({ "command": "/bin/sh", "params": ["-c", "reboot"] }),
        ),
        (
            "uci",
            "set",
            json!({ "config": "firewall", "section": "x", "values": { "enabled": "0" } }),
        ),
        (
            "uci",
            "set",
            json!({ "config": "../victim", "section": "x", "values": { "enabled": "0" } }),
        ),
        (
            "uci",
            "set",
            json!({ "config": "network", "section": "lan", "values": { "proto": "none" } }),
        ),
        ("network.interface", "remove", json!({ "interface": "wan" })),
    ] {
        for session in [&nobody, &reader, &full] {
            let answer = ask(session, object, method, &arguments);
            let status = answer["result"][0].as_u64().unwrap_or(0);
            assert!(
                answer["error"]["code"] == json!(ACCESS) || status != 0,
                "{object} {method} {arguments}: {answer}"
            );
            refused += 1;
        }
    }
    let name = victim.to_str().expect("our own name");
    let crooked = [
        "../victim",
        "../../victim",
        name,
        "x/../../victim",
        ".",
        "..",
        "",
        "-x",
        "x\n",
        "x'; reboot; '",
        "$(reboot)",
    ];
    for crooked in crooked {
        for (method, argument) in [
            ("spa_keygen", "name"),
            ("spa_revoke", "name"),
            ("relay_keygen", "name"),
            ("relay_restart", "name"),
            ("relay_files", "name"),
            ("gate_flush", "gate"),
            ("gate_list", "gate"),
        ] {
            let answer = ask(&full, OBJECT, method, &json!({ argument: crooked }));
            let (status, said) = (answer["result"][0].as_u64(), &answer["result"][1]);
            let is_refused = status != Some(0) || said.get("error").is_some() || said["ok"] == json!(false);
            assert!(is_refused, "{method} {crooked:?}: {answer}");
            refused += 1;
        }
    }
    assert_eq!(fs::read(&victim).expect("our own"), b"precious");
    assert_eq!((names(&place), names(&place.join("state"))), before);
    let home = home.lock().expect("nobody panicked");
    assert!(keeps_in(&home.house) && !gets_in(&home.house, 22));
    assert!(!lets_out(&home.house, Family::V6));
    let list = |methods: &[&str]| format!("`{}`", methods.join("`, `"));
    record(
        "sessions",
        &[
            ("Every method over `/ubus` without a session", "All refused".to_owned()),
            ("With a login that may *read*", format!("Answered: {}. All others refused", list(&for_reader))),
            ("With a login that may *write*", format!("Answered as well: {}, `resume`, `ledger_erase`", list(&more))),
            (
                "Any of the three at other files, programs, configurations and objects; names that lead out of their directory, hold a shell's characters, line ends or nothing",
                format!("{refused} times refused; no file came, went or changed, and nothing was opened"),
            ),
        ],
    );
}

#[test]
fn links_in_the_daemons_directories_are_not_written_through_and_its_files_are_nobodys_business() {
    let Some(mut home) = Home::start_gated(&this_test(), House::plan(), Firewall::default(), &everything(false)) else {
        return;
    };
    let place = home.house.directory().to_owned();
    let work = |home: &Home| {
        // Something for the ledger.
        let stranger = home
            .house
            .host("internet")
            .namespace
            .udp("203.0.113.9:0".parse().expect("an address"));
        let router = home.house.router_address("wan", Family::V4);
        stranger.send_to(b"x", (router, 1900)).expect("sent");
        home.daemon
            .must("lan_only", &json!({ "enabled": true, "persist": false }));
        home.daemon
            .must("gate_admit", &json!({ "gate": "ssh", "address": STRANGER }));
        home.daemon.must("ledger_commit", &json!({}));
        home.daemon.must("reload", &json!({}));
    };
    home.daemon.must("spa_keygen", &json!({ "name": "laptop" }));
    work(&home);
    let mut modes = Vec::new();
    for directory in ["run", "state"] {
        for name in names(&place.join(directory)) {
            let seen = fs::symlink_metadata(place.join(directory).join(&name)).expect("it is there");
            assert!(seen.is_file(), "{name}");
            modes.push(format!("`{directory}/{name}` {:o}", seen.mode() & 0o7777));
        }
    }
    // Each of them becomes a link to what is not ours, and so does what is written aside.
    home.daemon.kill9();
    let victim = place.join("victim");
    fs::write(&victim, "precious").expect("our own");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o640)).expect("our own");
    let mut planted = 0;
    for directory in ["run", "state"] {
        for name in names(&place.join(directory)) {
            let path = place.join(directory).join(&name);
            let aside = place.join(directory).join(format!("{name}.new"));
            // What is on flash may be a link of its owner's; what is written aside never is.
            if directory == "run" {
                fs::remove_file(&path).expect("our own");
                symlink(&victim, &path).expect("our own");
                planted += 1;
            }
            symlink(&victim, &aside).expect("our own");
            planted += 1;
        }
    }
    home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    work(&home);
    assert!(keeps_in(&home.house));
    assert_eq!(fs::read(&victim).expect("our own"), b"precious");
    assert_eq!(fs::metadata(&victim).expect("our own").mode() & 0o7777, 0o640);
    for name in names(&place.join("run")) {
        let seen = fs::symlink_metadata(place.join("run").join(&name)).expect("it is there");
        assert!(seen.is_file(), "{name} is the daemon's own again");
    }
    record(
        "links",
        &[
            ("What the daemon has written, and its mode", modes.join(", ")),
            (
                "A link to somebody's file in the place of each in the run directory, and in the place of what is written aside in both",
                format!("{planted} links: the file behind them kept its contents and its mode, and the switch turned"),
            ),
        ],
    );
}
