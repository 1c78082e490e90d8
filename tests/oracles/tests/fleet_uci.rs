//! What carries a configuration to many routers (`docs/fleet`), by the programs that it is for: OpenWISP's own renderer, ansible-playbook, busybox ash, and
//! the `uci` that comes with the crate libuci-sys. The router is a directory.

use lanward_rig::daemon::program;
use lanward_rig::fleet::{self, root};
use lanward_rig::report_line::{skip, this_test};
use lanward_rig::scratch::Scratch;
use serde_json::{json, Value};
use std::env;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The host that all three carry.
const HOST: &str = "02:00:00:00:00:20";

/// The `uci` that was built beside the libuci that this test could load.
fn uci() -> PathBuf {
    let directories = env::var_os("UCI_DIR").map(|directory| Path::new(&directory).join("lib"));
    let paths = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    directories
        .into_iter()
        .chain(env::split_paths(&paths))
        .map(|directory| directory.join("../bin/uci"))
        .find(|path| path.is_file())
        .expect("cargo says where libuci is that it has built")
}

/// A router as far as this goes: `/etc/config`, and the commands that the plays and scripts call.
struct Router(Scratch);

impl Router {
    fn new() -> Self {
        let router = Self(Scratch::new("fleet-uci"));
        for directory in ["bin", "config", "delta"] {
            fs::create_dir(router.path(directory)).expect("a directory of our own");
        }
        for (from, to) in [
            ("tests/openwrt/firewall.uci", "config/firewall"),
            ("tests/openwrt/network.uci", "config/network"),
            ("files/etc/config/lanward", "config/lanward"),
        ] {
            fs::copy(root().join(from), router.path(to)).expect("a file of our own");
        }
        let at = router.0.display();
        // Where the script does not say another, uci's directories are the router's.
        router.plant(
            "uci",
            &format!("exec {} -c {at}/config -t {at}/delta \"$@\"", uci().display()),
        );
        let real = program();
        let lanward = format!(
            "echo \"lanward $*\" >>{at}/calls\n[ \"$1\" != reload ] || exit 0\ncase $* in *--config-dir*) ;; *) set -- \"$@\" --config-dir {at}/config ;; \
             esac\nexec {} \"$@\" --ubus-socket {at}/no-bus",
            real.display()
        );
        router.plant("lanward", &lanward);
        router.plant("reload_config", &format!("echo reload_config >>{at}/calls"));
        router
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn plant(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file of our own");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of our own");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Which of our commands were called since the last time.
    fn calls(&self) -> Vec<String> {
        let calls = self.read("calls");
        let _ = fs::remove_file(self.path("calls"));
        calls.lines().map(str::to_owned).collect()
    }

    /// A command that finds the router's before this machine's.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let rest = env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{rest}", self.path("bin").display()));
        command
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .current_dir(&self.0);
        command
    }

    /// The rules of what is in `/etc/config`.
    #[track_caller]
    fn print(&self) -> String {
        let output = output(self.command(Path::new("lanward")).arg("print"));
        assert_eq!(
            output.status.code(),
            Some(0),
            "{output:?}\n{}",
            self.read("config/lanward")
        );
        String::from_utf8(output.stdout).expect("it speaks UTF-8")
    }

    /// Wrong configuration: what is said of it.
    #[track_caller]
    fn refused(&self) -> String {
        let output = output(self.command(Path::new("lanward")).arg("check"));
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        String::from_utf8(output.stdout).expect("it speaks UTF-8")
    }

    fn section(&self, name: &str) -> String {
        let output = output(
            self.command(Path::new("uci"))
                .args(["show", &format!("lanward.{name}")]),
        );
        String::from_utf8(output.stdout).expect("it speaks UTF-8")
    }
}

fn output(command: &mut Command) -> Output {
    command.output().expect("it can be started")
}

/// What all three are to come to, written by hand.
fn expected() -> String {
    let router = Router::new();
    let text = format!(
        "config lan_only 'lan_only'\n\toption enabled '1'\n\tlist host '{HOST}'\n\
         config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n\toption window '3600'\n\
         config witness 'imaps'\n\toption gate 'ssh'\n\toption port '993'\n\toption min_bytes '1000'\n"
    );
    fs::write(router.path("config/lanward"), text).expect("a file of our own");
    router.print()
}

#[track_caller]
fn carries(router: &Router) {
    assert_eq!(router.print(), expected());
    assert_eq!(
        router
            .section("ledger")
            .lines()
            .filter(|line| line.contains("mask_sources='1'"))
            .count(),
        1
    );
    assert!(router.section("lan_only").contains("chrome-remote-desktop"));
}

/// The template's configuration with these variables, merged into the router's as OpenWISP's agent does it.
fn apply_template(router: &Router, context: &Value) -> Option<()> {
    let text = fs::read_to_string(root().join("docs/fleet/openwisp-template.json")).expect("it is there");
    let template: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(template["backend"], "netjsonconfig.OpenWrt");
    let given = json!({ "config": template["config"], "context": context });
    let rendered = fleet::ask(&this_test(), "netjson", &given.to_string())?;
    // One file; the backend's name for it stands before.
    let rendered = rendered.as_str().expect("text");
    assert_eq!(rendered.matches("package ").count(), 1, "{rendered}");
    fs::write(router.path("rendered"), rendered).expect("a file of our own");
    let file = fs::File::open(router.path("rendered")).expect("just written");
    let merged = output(
        router
            .command(Path::new("uci"))
            .args(["-m", "import", "lanward"])
            .stdin(file),
    );
    assert!(merged.status.success() && merged.stderr.is_empty(), "{merged:?}");
    assert!(output(router.command(Path::new("uci")).args(["commit", "lanward"]))
        .status
        .success());
    Some(())
}

#[test]
fn openwisp_renders_the_template() {
    let router = Router::new();
    if apply_template(&router, &json!({ "lanward_host": HOST })).is_none() {
        return;
    }
    carries(&router);
    // A router whose variable nobody has set: what was applied stays, and it is said which option it is.
    let router = Router::new();
    if apply_template(&router, &json!({})).is_some() {
        let said = router.refused();
        assert!(
            said.contains("lanward.lan_only.host") && said.contains("lanward_host"),
            "{said}"
        );
    }
}

/// The play for the inventory's first router, which is this machine.
fn play(router: &Router, more: &[&str]) -> Option<Output> {
    let ansible = fleet::program(&this_test(), "ansible-playbook")?;
    let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .find(|path| Path::new(path).exists())
    else {
        skip(&this_test(), "no busybox");
        return None;
    };
    // What `raw` runs is run by what a router has: busybox, and no Python.
    for applet in ["ash", "cat", "chmod", "cmp", "cp", "mkdir", "mv", "rm"] {
        let link = router.path("bin").join(applet);
        let _ = symlink(busybox, link);
    }
    let place = root().join("docs/fleet/ansible");
    let mut command = router.command(&ansible);
    command
        .arg("-i")
        .arg(place.join("inventory.yml"))
        .arg(place.join("lanward.yml"));
    command.args(["--limit", "house-1"]).args(more);
    for (name, value) in [
        ("ansible_connection", "local".into()),
        ("lanward_config_dir", router.path("config")),
        ("lanward_stage", router.path("stage")),
    ] {
        command.arg("-e").arg(format!("{name}={}", value.display()));
    }
    command.env("ANSIBLE_EXECUTABLE", router.path("bin/ash"));
    command
        .env("ANSIBLE_HOME", router.path("ansible"))
        .env("ANSIBLE_NOCOLOR", "1");
    Some(output(&mut command))
}

/// How many tasks changed something and how many failed, as the play's last line has it.
fn recap(output: &Output) -> (u32, u32) {
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |name: &str| {
        let after = text.rsplit(&format!("{name}=")).next().expect("rsplit has one");
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no {name}: {output:?}"))
    };
    (number("changed"), number("failed"))
}

#[test]
fn the_play_configures_once_and_then_changes_nothing() {
    let router = Router::new();
    let before = router.read("config/lanward");
    let stage = router.path("stage");
    let judged = format!("lanward check --config-dir {}", stage.display());
    // Asked what it would do, it says so.
    let Some(asked) = play(&router, &["--check"]) else {
        return;
    };
    assert_eq!(recap(&asked), (1, 0), "{asked:?}");
    assert_eq!(router.read("config/lanward"), before);
    assert_eq!(router.calls(), [judged.as_str()]);
    assert!(!stage.exists(), "the copy of the network's secrets goes");

    let done = play(&router, &[]).expect("it was there");
    assert_eq!(recap(&done), (1, 0), "{done:?}");
    assert_eq!(router.calls(), [&judged, "reload_config", "lanward reload"]);
    let mode = fs::metadata(router.path("config/lanward"))
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    carries(&router);
    router.calls();

    let after = router.read("config/lanward");
    let again = play(&router, &[]).expect("it was there");
    assert_eq!(recap(&again), (0, 0), "{again:?}");
    assert_eq!((router.read("config/lanward"), router.calls()), (after, vec![judged]));
    // What somebody began and has not committed is neither taken along nor a change.
    assert!(output(
        router
            .command(Path::new("uci"))
            .args(["set", "lanward.lan_only.enabled=0"])
    )
    .status
    .success());
    let again = play(&router, &[]).expect("it was there");
    assert_eq!(recap(&again), (0, 0), "{again:?}");
    // What they have committed is.
    assert!(output(router.command(Path::new("uci")).args(["commit", "lanward"]))
        .status
        .success());
    let again = play(&router, &[]).expect("it was there");
    assert_eq!(recap(&again), (1, 0), "{again:?}");
    carries(&router);
    assert_eq!(
        fs::read_dir(router.path("config")).expect("it is there").count(),
        3,
        "nothing is left behind"
    );
    assert!(!stage.exists());
}

#[test]
fn the_play_puts_nothing_wrong_in_place() {
    let router = Router::new();
    let before = router.read("config/lanward");
    let gate = |option: &str, value: &str| {
        json!({ "lanward_sections": { "ssh": { "type": "gate", "enabled": true, "service": ["tcp:22"], option: value } } }).to_string()
    };
    for (sections, says) in [
        (gate("window", "5 minuts"), "'5 minuts' is not a number of seconds"),
        // Quoted as uci wants it, and nothing for the shell.
        (gate("refuse", "it's $(touch pwned) \\ \"x\""), "it's $(touch pwned)"),
        (
            gate("refuse", "zone'\nset lanward.lan_only.enabled='0"),
            "Assertion failed",
        ),
        (gate("no-such/name", "1"), "uci: "),
        (gate("knock_alone", "END-OF-BATCH"), "END-OF-BATCH"),
    ] {
        let Some(output) = play(&router, &["-v", "-e", &sections]) else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).replace("\\\"", "\"");
        assert_eq!(recap(&output), (0, 1), "{sections}: {text}");
        assert!(text.contains(says), "{sections}: {text}");
        assert_eq!(router.read("config/lanward"), before);
        assert!(!router.path("pwned").exists() && !router.path("stage").exists());
        let calls = router.calls();
        assert!(calls.iter().all(|call| call.contains(" check ")), "{calls:?}");
    }
}

/// Runs the image's file as OpenWrt's `/etc/init.d/boot` does it: sourced, in its directory.
fn first_boot(router: &Router, script: &Path) -> Option<Output> {
    let test = this_test();
    let at = router.0.display();
    // An applet of busybox would be taken before a program of that name.
    let source = format!(
        "logger() {{ echo \"$@\" >>{at}/log; }}; cd {at} && . {}",
        script.display()
    );
    let mut command = router.command(Path::new("busybox"));
    command.args(["ash", "-e", "-c", &source]);
    command.env("LANWARD_STATE", router.path("state"));
    let Ok(output) = command.output() else {
        skip(&test, "no busybox");
        return None;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Some(output)
}

#[test]
fn an_image_configures_its_routers_once() {
    let script = root().join("docs/fleet/99-lanward");
    let router = Router::new();
    if first_boot(&router, &script).is_none() {
        return;
    }
    carries(&router);
    assert_eq!(router.read("log"), "");
    let comments = router.read("config/lanward");
    assert!(output(router.command(Path::new("uci")).args(["changes"]))
        .stdout
        .is_empty());
    // The same image again, over what somebody has changed.
    let off = ["set", "lanward.lan_only.enabled=0"];
    assert!(output(router.command(Path::new("uci")).args(off)).status.success());
    assert!(output(router.command(Path::new("uci")).args(["commit", "lanward"]))
        .status
        .success());
    first_boot(&router, &script);
    assert_ne!(router.read("config/lanward"), comments);
    // With another number it applies once more, and no list has anything twice.
    let next = router.path("next");
    let text = fs::read_to_string(&script).expect("it is there");
    fs::write(&next, text.replace("serial=1", "serial=2")).expect("a file of our own");
    first_boot(&router, &next);
    carries(&router);
    assert_eq!(router.section("lan_only").matches(HOST).count(), 1);
    assert_eq!(router.section("ssh").matches("tcp:22").count(), 1);
}

#[test]
fn an_image_with_a_mistake_says_so_and_is_shut() {
    let router = Router::new();
    let text = fs::read_to_string(root().join("docs/fleet/99-lanward")).expect("it is there");
    let wrong = router.path("wrong");
    fs::write(&wrong, text.replace("window='3600'", "window='an hour'")).expect("a file of our own");
    if first_boot(&router, &wrong).is_none() {
        return;
    }
    let log = router.read("log");
    assert!(log.contains("lanward.ssh.window: 'an hour'"), "{log}");
    router.refused();
}

/// Without the package in the image, or where it has no configuration of its own.
#[test]
fn an_image_without_lanwards_own_configuration_gets_one() {
    let router = Router::new();
    fs::write(router.path("config/lanward"), "").expect("a file of our own");
    if first_boot(&router, &root().join("docs/fleet/99-lanward")).is_some() {
        carries(&router);
    }
}
