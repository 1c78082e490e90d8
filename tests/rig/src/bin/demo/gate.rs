//! IMAPS before SSH, with real servers and clients.

use crate::Demo;
use lanward_rig::daemon;
use lanward_rig::home::{switched_off, Home};
use lanward_rig::house::{Family, Host, House, FAMILIES};
use lanward_rig::probe::takes;
use lanward_rig::scan::{nmap, Scan};
use lanward_rig::sections;
use lanward_rig::servers::{Keys, Login, Server};
use lanward_rig::settings::Firewall;
use serde_json::{json, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::{catch_unwind, set_hook, take_hook, AssertUnwindSafe};
use std::time::Duration;

const GATE: &str = "list service 'tcp:22'
list service 'tcp:2222>192.168.77.100:22'
list service 'tcp:22>[fd77::100]:22'
";

const SSH: u16 = 22;
const IMAPS: u16 = 993;

/// A guarded service: what it is called, and where it is from outside.
#[derive(Clone, Copy)]
pub enum Door {
    Router,
    LanHost,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Router => "the router (OpenSSH)",
            Self::LanHost => "a LAN host (dropbear)",
        }
    }

    fn outside(self, house: &House, family: Family) -> (IpAddr, u16) {
        match (self, family) {
            (Self::Router, _) => (house.router_address("wan", family), SSH),
            (Self::LanHost, Family::V4) => (house.router_address("wan", family), 2222),
            (Self::LanHost, Family::V6) => (house.host("lan").address(family), SSH),
        }
    }

    /// What its server says of itself when somebody is in.
    fn inside(self, house: &House, family: Family) -> Login {
        let address = match self {
            Self::Router => house.router_address("wan", family),
            Self::LanHost => house.host("lan").address(family),
        };
        Login::In(format!("{address} {SSH}"))
    }
}

/// What was seen over a family: whether it is as promised, and in words.
pub type Seen = (bool, String);

impl Demo {
    pub fn gate(&mut self) {
        self.seen
            .heading("IMAPS before SSH: `config gate 'ssh'` and `config witness 'imaps'`; OpenSSH, dropbear, dovecot");
        // The mail server is open to everybody, as it was before.
        let mail = json!({ "type": "rule", "name": "Allow-IMAPS", "src": "wan", "proto": "tcp", "dest_port": "993", "target": "ACCEPT" });
        self.home.house.set_firewall(Firewall::default().with(mail));
        let (gate, witness) = (sections::gate(GATE), sections::witness("option port '993'"));
        self.home.reload_gated(&[switched_off(""), gate, witness].concat());
        let keys = Keys::make(&self.home.house);
        let router = self.home.house.router();
        let _servers = [
            Server::openssh(router, SSH, &keys),
            Server::imaps(router, IMAPS, &keys),
            Server::dropbear(&self.home.house.host("lan").namespace, SSH, &keys),
        ];
        for door in [Door::Router, Door::LanHost] {
            self.imaps_before_ssh(&keys, door);
        }
        self.promises(&keys);
        self.by_hand(&keys);
        self.without_the_table(&keys);
        self.proofs(&keys);
    }

    /// One line for what is seen over IPv4 and over IPv6.
    pub fn each(&mut self, promise: &str, look: impl Fn(&Home, Family) -> Seen) {
        let seen = FAMILIES.map(|family| look(&self.home, family));
        let words: Vec<String> = FAMILIES
            .iter()
            .zip(&seen)
            .map(|(family, (_, words))| format!("{family} {words}"))
            .collect();
        self.seen
            .line(seen.iter().all(|(held, _)| *held), promise, &words.join(", "));
    }

    /// A call by `ssh` from a host of the internet, refused.
    pub fn refused(&mut self, promise: &str, keys: &Keys, host: &str, door: Door) {
        self.each(promise, |home, family| {
            let login = ssh(home, keys, home.house.host(host), door, family);
            (login == Login::Refused, word(&login))
        });
    }

    /// The same, let in.
    pub fn admitted(&mut self, promise: &str, keys: &Keys, host: &str, door: Door) {
        self.each(promise, |home, family| {
            let login = ssh(home, keys, home.house.host(host), door, family);
            (login == door.inside(&home.house, family), word(&login))
        });
    }

    fn read_mail(&mut self, promise: &str, keys: &Keys) {
        self.each(promise, |home, family| mail(home, keys, family));
    }

    fn imaps_before_ssh(&mut self, keys: &Keys, door: Door) {
        self.refused(
            &format!("straight SSH to {} is refused", door.name()),
            keys,
            "internet",
            door,
        );
        self.read_mail("mail is read over IMAPS", keys);
        let proved = FAMILIES.map(|family| self.home.house.host("internet").address(family));
        let proved = proved.map(|address| listed(&self.home, address).map(|_| address));
        self.admitted("SSH is admitted", keys, "internet", door);
        self.each("that session's FIN takes the address off the list", |home, family| {
            let address = home.house.host("internet").address(family);
            let before = proved.contains(&Some(address));
            let seen = match (before, listed(home, address)) {
                (true, None) => "it is off",
                (false, None) => "it never was on it",
                (_, Some(_)) => "it is on it still",
            };
            (seen == "it is off", seen.to_owned())
        });
        self.refused("SSH is refused again", keys, "internet", door);
    }

    fn promises(&mut self, keys: &Keys) {
        self.seen.heading("What proves nothing, and what cuts nothing");
        self.each(
            "a half-open scan finds the mail port open and opens nothing",
            |home, family| {
                let internet = home.house.host("internet");
                // The scanner's system chooses the address: for the call as well.
                let scanner = Host {
                    v4: Ipv4Addr::UNSPECIFIED,
                    v6: Ipv6Addr::UNSPECIFIED,
                    ..internet.clone()
                };
                let router = home.house.router_address("wan", family);
                let scanned = nmap(&scanner.namespace, Scan::Syn, router, &[IMAPS]);
                let state = scanned[&IMAPS].state.as_str();
                let login = ssh(home, keys, &scanner, Door::Router, family);
                let nobody = entries(home).is_empty();
                let held = state == "open" && nobody && login == Login::Refused;
                let list = if nobody { "nobody listed" } else { "SOMEBODY LISTED" };
                (held, format!("{state}, {list}, SSH {}", word(&login)))
            },
        );
        self.each(
            "a scan cannot tell the guarded port from a closed one",
            |home, family| {
                let router = home.house.router_address("wan", family);
                let scanned = nmap(
                    &home.house.host("internet").namespace,
                    Scan::Syn,
                    router,
                    &[SSH, SSH + 1],
                );
                let [guarded, closed] = [SSH, SSH + 1].map(|port| scanned[&port].words());
                let held = guarded == closed && guarded.0 != "open";
                (held, format!("{SSH} {}, {} {}", guarded.0, SSH + 1, closed.0))
            },
        );
        self.each("closing the mail program does not remove", |home, family| {
            let caller = keys.call(home.house.host("internet"), home.house.router_address("wan", family));
            match attempt(|| caller.mail_session(IMAPS).log_out()) {
                Ok(()) => still_listed(home, family),
                Err(why) => (false, why),
            }
        });
        self.refused("somebody else is refused meanwhile", keys, "internet2", Door::Router);
        self.each("of two sessions one is closed, the other goes on", |home, family| {
            let (to, port) = Door::Router.outside(&home.house, family);
            let caller = keys.call(home.house.host("internet"), to);
            let sessions = attempt(|| (caller.ssh_session(port), caller.ssh_session(port)));
            let (one, mut other) = match sessions {
                Ok(sessions) => sessions,
                Err(why) => return (false, why),
            };
            one.close();
            let (answers, next) = (other.echoes(), caller.ssh(port));
            let goes_on = answers && other.echoes();
            let held = goes_on && next == Login::Refused;
            let goes_on = if goes_on { "goes on" } else { "was cut" };
            (held, format!("{goes_on}, a third is {}", word(&next)))
        });
        self.each("the LAN and the VPN are never gated", |home, family| {
            let ways = [
                ("lan2", home.house.router_address("lan", family)),
                ("vpn", home.house.host("lan").address(family)),
            ];
            let logins = ways.map(|(host, to)| keys.call(home.house.host(host), to).ssh(SSH));
            (
                logins.iter().all(Login::is_in),
                logins.each_ref().map(word).join(" and "),
            )
        });
    }

    fn by_hand(&mut self, keys: &Keys) {
        self.seen
            .heading("By hand: lanward gate admit ssh ADDRESS 30, list, remove");
        self.each("admitted by hand", |home, family| {
            let address = home.house.host("internet2").address(family).to_string();
            said(home, &["admit", "ssh", &address, "30"])
        });
        let (done, list) = said(&self.home, &["list"]);
        let addresses = FAMILIES.map(|family| self.home.house.host("internet2").address(family).to_string());
        let held = done && addresses.iter().all(|address| list.contains(address)) && list.contains(" s");
        self.seen.line(held, "the list, with the seconds that are left", &list);
        self.admitted("SSH is admitted without mail", keys, "internet2", Door::LanHost);
        self.each("removed by hand", |home, family| {
            let address = home.house.host("internet2").address(family).to_string();
            // The session's FIN was as good: somebody has to be there to be removed.
            let again = said(home, &["admit", "ssh", &address, "30"]);
            let removed = said(home, &["remove", "ssh", &address]);
            (again.0 && removed.0, removed.1)
        });
        self.refused("SSH is refused", keys, "internet2", Door::LanHost);
    }

    fn without_the_table(&mut self, keys: &Keys) {
        self.seen
            .heading("kill -9, and the table deleted: fw4 still accepts what is marked, and nobody marks");
        self.read_mail("before that, mail is read", keys);
        self.home.daemon.kill9();
        self.home.house.router().nft("delete table inet lanward\n");
        for door in [Door::Router, Door::LanHost] {
            let promise = format!("nobody gets in to {}", door.name());
            self.refused(&promise, keys, "internet", door);
        }
        let started = self.home.daemon.start_again();
        let word = started.err().unwrap_or_else(|| "it answers".to_owned());
        self.seen.line(word == "it answers", "started again", &word);
        self.refused(
            "the gate is shut: the list went with the table",
            keys,
            "internet",
            Door::Router,
        );
        self.read_mail("mail is read over IMAPS", keys);
        // After a change of others the daemon looks at once, but then not for 600 ms.
        std::thread::sleep(Duration::from_millis(700));
        self.home.house.router().nft("delete table inet lanward\n");
        let back =
            || FAMILIES.map(|family| listed(&self.home, self.home.house.host("internet").address(family)).is_some());
        let took = takes(Duration::from_secs(1), || back() == [true, true]);
        self.seen.line(
            took.is_some(),
            "deleted beside the living daemon, it is put back, and who was listed is",
            &took.map_or("it is not".to_owned(), |took| format!("after {} ms", took.as_millis())),
        );
        self.admitted("SSH is admitted", keys, "internet", Door::Router);
        let status = self.home.daemon.must("status", &json!({}));
        let [admitted, refused] = ["admitted", "refused"].map(|key| status["gates"][0][key].as_u64().unwrap_or(0));
        self.seen.line(
            admitted > 0 && refused > 0,
            "it was counted",
            &format!("{admitted} admitted, {refused} packets refused"),
        );
    }
}

pub fn ssh(home: &Home, keys: &Keys, from: &Host, door: Door, family: Family) -> Login {
    let (to, port) = door.outside(&home.house, family);
    keys.call(from, to).ssh(port)
}

/// Reads mail at the router; the reader is listed.
fn mail(home: &Home, keys: &Keys, family: Family) -> Seen {
    let caller = keys.call(home.house.host("internet"), home.house.router_address("wan", family));
    match caller.check_mail(IMAPS) {
        Ok(()) => still_listed(home, family),
        Err(error) => (false, error),
    }
}

fn still_listed(home: &Home, family: Family) -> Seen {
    let address = home.house.host("internet").address(family);
    match listed(home, address) {
        Some(seconds) => (seconds > 0, format!("{address} is listed for {seconds} s")),
        None => (false, format!("{address} is not listed")),
    }
}

pub fn entries(home: &Home) -> Vec<Value> {
    let reply = home.daemon.must("gate_list", &json!({}));
    reply["entries"].as_array().cloned().unwrap_or_default()
}

/// The seconds that an address has left.
fn listed(home: &Home, address: IpAddr) -> Option<u64> {
    let address = address.to_string();
    let entries = entries(home);
    entries.iter().find(|entry| entry["address"] == json!(address))?["expires"].as_u64()
}

/// `lanward gate …` in the router: whether it was done, and what it printed, in one line.
fn said(home: &Home, words: &[&str]) -> Seen {
    let (program, socket) = (daemon::program(), home.house.directory().join("ubus.sock"));
    let [program, socket] = [&program, &socket].map(|path| path.to_str().expect("a path that can be printed"));
    let arguments = [&["gate"], words, &["--ubus-socket", socket]].concat();
    match home.house.router().output(program, &arguments, "") {
        Ok(output) => {
            let printed = [output.stdout, output.stderr].concat();
            let lines: Vec<String> = String::from_utf8_lossy(&printed)
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect();
            (output.status.success(), lines.join("; "))
        }
        Err(error) => (false, error.to_string()),
    }
}

/// What the rig takes for granted may fail here, and is then a ✗: why it panicked.
fn attempt<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let acted = catch_unwind(AssertUnwindSafe(act));
    set_hook(hook);
    acted.map_err(|panic| {
        let why = panic.downcast_ref::<String>();
        why.map_or_else(|| "it failed".to_owned(), |why| why.trim().replace('\n', " "))
    })
}

pub fn word(login: &Login) -> String {
    match login {
        Login::In(server) => format!("in at {}", server.replace(' ', " port ")),
        Login::Refused => "refused".to_owned(),
        Login::Silent => "no answer".to_owned(),
        Login::Failed(why) => why.trim().to_owned(),
    }
}
