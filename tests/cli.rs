//! The program as somebody at a router's console runs it: every command, its exit status and where it speaks, with and without a daemon.

use lanward_rig::daemon::program;
use lanward_rig::home::{switched_off, switched_on, Home};
use lanward_rig::house::{Family, House};
use lanward_rig::probe::Fate;
use lanward_rig::report_line::{skip, this_test};
use lanward_rig::scratch::Scratch;
use serde_json::{json, Value};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A router's files without a router: no bus, no daemon.
struct Files(Scratch);

impl Files {
    fn new(lanward: &str) -> Self {
        let files = Self(Scratch::for_everybody("cli"));
        fs::create_dir(files.config()).expect("a directory of our own");
        files.write("lanward", lanward);
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openwrt");
        for name in ["firewall", "network"] {
            let text = fs::read_to_string(recorded.join(format!("{name}.uci"))).expect("a recorded file");
            files.write(name, &text);
        }
        files
    }

    fn config(&self) -> PathBuf {
        self.0.join("config")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.config().join(name), text).expect("a file of our own");
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(program());
        command.args(words.split_whitespace());
        command.arg("--config-dir").arg(self.config());
        command.arg("--ubus-socket").arg(self.0.socket());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, words: &str) -> Ran {
        Ran::of(words, self.command(words).output().expect("the program can be started"))
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
struct Ran {
    words: String,
    status: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(words: &str, output: Output) -> Self {
        Self {
            words: words.to_owned(),
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("it speaks UTF-8"),
            err: String::from_utf8(output.stderr).expect("it speaks UTF-8"),
        }
    }

    #[track_caller]
    fn ends_with(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "no '{text}' in {self:?}");
        self
    }

    #[track_caller]
    fn complains(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no '{text}' in {self:?}");
        self
    }

    #[track_caller]
    fn says_nothing(self) -> Self {
        assert_eq!(self.out, "", "{}", self.words);
        self
    }
}

#[test]
fn wrong_usage_is_2_and_says_so_on_stderr() {
    let files = Files::new("");
    for (words, part) in [
        ("", "no command"),
        ("frobnicate", "'frobnicate'"),
        ("pause", "MINUTES"),
        ("pause soon", "'soon'"),
        ("pause 0", "'0'"),
        ("pause 20000", "from 1 to 10080"),
        ("pause 5 6", "pause"),
        ("history --by week", "'week'"),
        ("history --from 2020-13-01", "'2020-13-01'"),
        ("history --address home", "'home'"),
        ("history --by hour --port 22", "hours are not kept by port"),
        ("on now", "on takes no operand: 'now'"),
        ("on --json", "--json"),
        ("print --json", "--json"),
        ("status --temporary", "--temporary"),
        ("status --verbose", "--verbose"),
        ("status -x", "-x"),
        ("knock", "at which HOST"),
        ("knock 192.0.2.1", "at which PORTs"),
        ("knock 192.0.2.1 http", "'http' is not a port"),
        ("knock 192.0.2.1 7000:sctp", "'7000:sctp'"),
        ("spa", "HOST or keygen"),
        ("spa 192.0.2.1", "--access"),
        ("spa 192.0.2.1 --access tcp/22", "--key-file"),
        ("spa 192.0.2.1 --access ssh --key-file x", "'ssh'"),
        ("spa keygen", "one NAME"),
        ("spa keygen ../x", "'../x'"),
        ("import-knockd", "one FILE"),
        ("status --delay 5", "--delay"),
    ] {
        files.run(words).ends_with(2).says_nothing().complains(part);
    }
    let bare = Command::new(program()).args(["print", "--config-dir"]).output();
    let bare = bare.expect("the program can be started");
    Ran::of("print --config-dir", bare)
        .ends_with(2)
        .says_nothing()
        .complains("--config-dir");
}

#[test]
fn what_another_machine_asks_needs_no_router() {
    let files = Files::new("");
    files
        .run("knock 127.0.0.1 9 9:udp --delay 0")
        .ends_with(0)
        .says_nothing();
    files
        .run("knock nosuchhost.invalid 9")
        .ends_with(1)
        .says_nothing()
        .complains("nosuchhost.invalid");
    files
        .run("spa 127.0.0.1 --access tcp/22 --key-file /nonexistent/x.key")
        .ends_with(1)
        .says_nothing()
        .complains("/nonexistent/x.key: there is no such file");
    files
        .run("spa keygen laptop --key-file /nonexistent/x.key")
        .ends_with(1)
        .says_nothing()
        .complains("/nonexistent/x.key: there is no such directory");
    files
        .run("import-knockd /nonexistent/knockd.conf")
        .ends_with(1)
        .says_nothing()
        .complains("/nonexistent/knockd.conf");
}

#[test]
fn help_and_version_are_0() {
    let files = Files::new("");
    for words in ["--help", "-h", "print --help", "frobnicate --help"] {
        files.run(words).ends_with(0).says("Usage: lanward COMMAND");
    }
    for words in ["--version", "-V"] {
        files
            .run(words)
            .ends_with(0)
            .says(concat!("lanward ", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn what_needs_the_daemon_is_1_without_one() {
    let files = Files::new(&switched_on(""));
    for words in [
        "status",
        "status --json",
        "on",
        "on --temporary",
        "off",
        "pause 5",
        "resume",
        "reload",
    ] {
        files.run(words).ends_with(1).says_nothing().complains("ubusd");
    }
    let kept = fs::read_to_string(files.config().join("lanward")).expect("it is there");
    assert_eq!(kept, switched_on(""), "nobody wrote");
}

#[test]
fn print_needs_no_daemon_and_says_3_for_a_wrong_configuration() {
    let files = Files::new(&switched_on(""));
    let good = files
        .run("print")
        .ends_with(0)
        .says("table inet lanward {")
        .says("40001-65535");
    assert_eq!(good.err, "");
    files.write("lanward", &switched_on("option level 'sead'"));
    files
        .run("print")
        .ends_with(3)
        .says("table inet lanward {")
        .complains("lanward.lan_only.level: 'sead'");
    files.write("lanward", "config lan_only 'lan_only");
    files
        .run("print")
        .ends_with(3)
        .says("table inet lanward {")
        .complains("lanward");
    for name in ["lanward", "firewall", "network"] {
        let _ = fs::remove_file(files.config().join(name));
    }
    files.run("print").ends_with(0).says("table inet lanward {");
    fs::create_dir(files.config().join("lanward")).expect("a directory in our own");
    files
        .run("print")
        .ends_with(1)
        .says_nothing()
        .complains("config/lanward");
}

#[test]
fn what_cannot_be_said_is_1() {
    let files = Files::new(&switched_on(""));
    for words in ["print", "--help", "check"] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("every Linux has it");
        let output = files
            .command(words)
            .stdout(full)
            .output()
            .expect("the program can be started");
        Ran::of(words, output).ends_with(1);
    }
}

#[test]
fn check_needs_no_daemon_but_misses_it() {
    let files = Files::new(&switched_on(""));
    let file = files.config().join("lanward").display().to_string();
    files
        .run("check")
        .says(&format!("configuration: {file} has no problems"))
        .says("daemon: The daemon was not asked")
        .says("'inet lanward' was not looked at");
    let told: Value = serde_json::from_str(&files.run("check --json").out).expect("JSON");
    assert!(
        told["checks"].as_array().is_some_and(|checks| checks.len() > 3),
        "{told}"
    );
    files.write("lanward", &switched_on("list host 'printer'"));
    files.run("check").ends_with(3).says("lanward.lan_only.host");
    // Of the router's own files, whatever is in them here.
    let mut command = Command::new(program());
    command.args(["check", "--ubus-socket"]).arg(files.0.socket());
    let ran = Ran::of("check", command.output().expect("the program can be started"));
    ran.says("configuration").says("The bus cannot be reached");
}

/// Also in what restricts nothing, for which no reload is refused: 3.
#[test]
fn every_wrong_option_is_a_wrong_configuration() {
    let files = Files::new("");
    let relay = |line: &str| {
        format!(
            "config relay 'office'\n\toption host 'relay.example.net'\n\toption user 'relay'\n\toption remote_port '3389'\n\
             \toption target '192.168.1.20:3389'\n\t{line}\n"
        )
    };
    files.write("lanward", &relay(""));
    files.run("print").ends_with(0);
    for (text, option) in [
        (
            "config ledger 'ledger'\n\toption keep_days 'x'\n".to_owned(),
            "lanward.ledger.keep_days",
        ),
        (relay("option retry 'x'"), "lanward.office.retry"),
        (relay("option host '-oProxyCommand=x'"), "lanward.office.host"),
    ] {
        files.write("lanward", &text);
        files
            .run("print")
            .ends_with(3)
            .says("table inet lanward {")
            .complains(option);
        files
            .run("check")
            .ends_with(3)
            .says(&format!("warning configuration: {option}"));
        // fw4's rules are not kept back for it, as the daemon keeps nothing back.
        files.run("fw4-rules").ends_with(0).complains(option);
    }
    // What profiles there are the package knows.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("files/usr/share/lanward");
    let print = format!("print --share-dir {}", shipped.display());
    for (id, status) in [("chrome-remote-desktop", 0), ("nosuch", 3)] {
        files.write("lanward", &switched_on(&format!("list profile '{id}'")));
        let ran = files.run(&print).ends_with(status).says("table inet lanward {");
        assert_eq!(
            ran.err.contains("lanward.lan_only.profile: 'nosuch'"),
            status == 3,
            "{ran:?}"
        );
    }
}

/// `print` and `check` as a user who may do nothing.
#[test]
fn print_and_check_need_no_root() {
    const NOBODY: &str = "65534";
    if !nix::unistd::geteuid().is_root() {
        return skip(&this_test(), "only root can become somebody else");
    }
    let files = Files::new(&switched_on(""));
    // Where the program was built may be closed to others.
    let copy = files.0.join("lanward");
    fs::copy(program(), &copy).expect("room for a copy");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let run = |words: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command
            .arg(&copy)
            .args(words.split(' '))
            .arg("--config-dir")
            .arg(files.config());
        command.arg("--ubus-socket").arg(files.0.socket());
        Ran::of(words, command.output().expect("setpriv is there"))
    };
    assert_eq!(run("print").ends_with(0).out, files.run("print").out);
    run("check").says("configuration");
    run("run").ends_with(1).says_nothing();
    files.write("lanward", &switched_on("option level 'sead'"));
    run("print").ends_with(3).complains("lanward.lan_only.level");
    run("check").ends_with(3).says("lanward.lan_only.level");
    let secret = files.config().join("lanward");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("it is ours");
    run("print").ends_with(1).says_nothing().complains("config/lanward");
}

/// The program in the house's router, beside the daemon.
fn beside(home: &Home, words: &str) -> Ran {
    let config = home.house.config_dir();
    let socket = home.house.directory().join("ubus.sock");
    let (config, socket) = (config.to_string_lossy(), socket.to_string_lossy());
    let mut arguments: Vec<&str> = words.split(' ').collect();
    arguments.extend(["--config-dir", &config, "--ubus-socket", &socket]);
    let program = program();
    let output = home.house.router().output(&program.to_string_lossy(), &arguments, "");
    Ran::of(words, output.expect("the program can be started"))
}

/// The same with the daemon's files at `/etc/config`, where the program looks by itself.
fn beside_at_home(home: &Home, words: &str) -> Ran {
    const PLACE: &str =
        "mount -t tmpfs tmpfs /etc && mkdir /etc/config && mount --bind \"$0\" /etc/config && exec \"$@\"";
    let (config, socket) = (home.house.config_dir(), home.house.directory().join("ubus.sock"));
    let (config, socket) = (config.to_string_lossy(), socket.to_string_lossy());
    let program = program();
    let program = program.to_string_lossy();
    let mut arguments = vec!["--mount", "sh", "-c", PLACE, &config, &program];
    arguments.extend(words.split(' '));
    arguments.extend(["--ubus-socket", &socket]);
    let output = home.house.router().output("unshare", &arguments, "");
    Ran::of(words, output.expect("the program can be started"))
}

/// A file that was written and not loaded is what `check` judges; other files are judged by themselves.
#[test]
fn check_judges_the_files_and_not_what_the_daemon_has_read() {
    let Some(home) = Home::start("check", House::plan(), &switched_off("")) else {
        return;
    };
    let at_home = || beside_at_home(&home, "check");
    at_home().says("/etc/config/lanward").says("daemon: The daemon runs");
    // The test's daemon is told of a file only by `reload`.
    let wrong = switched_off("option level 'sead'");
    fs::write(home.house.config_dir().join("lanward"), &wrong).expect("it is ours");
    at_home()
        .ends_with(3)
        .says("ERROR   configuration: lanward.lan_only.level: 'sead'")
        .says("daemon: It has not loaded the file as it is now")
        .says("daemon: The daemon runs");
    beside(&home, "reload").ends_with(3);
    let loaded = at_home()
        .ends_with(3)
        .says("configuration: lanward.lan_only.level: 'sead'");
    assert!(!loaded.out.contains("as it is now"), "{loaded:?}");
    fs::write(home.house.config_dir().join("lanward"), switched_off("")).expect("it is ours");
    at_home()
        .ends_with(1)
        .says("configuration: /etc/config/lanward has no problems")
        .says("daemon: As it has read the file before: lanward.lan_only.level: 'sead'");

    let others = Files::new(&switched_on("list host 'printer'"));
    let others = others.config();
    let words = format!("check --config-dir {}", others.display());
    let ran = beside_at_home(&home, &words).ends_with(3);
    let ran = ran
        .says("configuration: lanward.lan_only.host")
        .says("The daemon was not asked");
    assert!(!ran.out.contains("level"), "{ran:?}");
}

#[test]
fn every_command_beside_the_daemon() {
    let Some(home) = Home::start("commands", House::plan(), &switched_off("")) else {
        return;
    };
    let fate = || home.house.way_out(Family::V4).udp(50000);
    let file = || fs::read_to_string(home.house.config_dir().join("lanward")).expect("it is there");
    beside(&home, "status")
        .ends_with(0)
        .says("LAN-only remote desktop: off");
    beside(&home, "on --temporary")
        .ends_with(0)
        .says("LAN-only remote desktop: on");
    assert_eq!((fate(), file()), (Fate::Lost, switched_off("")));
    let told: Value = serde_json::from_str(&beside(&home, "status --json").ends_with(0).out).expect("JSON");
    assert_eq!(told["lan_only"]["enforced"], json!(true));
    beside(&home, "on").ends_with(0);
    assert_eq!(file(), switched_on(""), "written down");
    beside(&home, "pause 5").ends_with(0).says("paused for another");
    assert_eq!(fate(), Fate::Answered);
    beside(&home, "resume").ends_with(0).says("LAN-only remote desktop: on");
    assert_eq!(fate(), Fate::Lost);
    beside(&home, "reload").ends_with(0).says("applied");
    beside(&home, "print").ends_with(0).says("table inet lanward {");
    beside(&home, "check").says("configuration");
    for words in [
        "list nosuch",
        "admit nosuch 203.0.113.9",
        "remove nosuch 203.0.113.9",
        "flush nosuch",
    ] {
        beside(&home, &format!("gate {words}"))
            .ends_with(1)
            .says_nothing()
            .complains("there is no gate 'nosuch' in the configuration");
    }
    beside(&home, "gate list").ends_with(0).says("no address is listed");

    // On, and nothing to stop there yet: no failure, but said.
    let firewall = home.house.config_dir().join("firewall");
    let zones = fs::read_to_string(&firewall).expect("it is there");
    fs::write(&firewall, format!("{zones}\nconfig zone\n\toption name 'bare'\n")).expect("it is ours");
    home.house.configure(&switched_on("list dest_zone 'bare'"));
    beside(&home, "reload").ends_with(0);
    for words in ["on", "resume"] {
        beside(&home, words)
            .ends_with(0)
            .says("LAN-only remote desktop: on, and not enforced now")
            .says("warning: zone 'bare' (dest_zone) has no device");
    }
    fs::write(&firewall, zones).expect("it is ours");
    home.house.configure(&switched_on(""));
    beside(&home, "reload").ends_with(0);

    home.house.configure(&switched_on("option level 'sead'"));
    beside(&home, "reload")
        .ends_with(3)
        .says("not applied")
        .says("lanward.lan_only.level");
    beside(&home, "status")
        .ends_with(0)
        .says("what was applied stays:\nproblem: lanward.lan_only.level: 'sead'");
    beside(&home, "check").ends_with(3);
    assert_eq!(fate(), Fate::Lost);
    home.house.configure("config lan_only 'lan_only");
    beside(&home, "off").ends_with(1).complains("lanward");
}
