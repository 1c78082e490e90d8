//! What goes where for a relay: the script and the lines for its account there, and the files of the client that comes in through it.
//!
//! Every value is copied into a line that a shell, sshd or ssh reads, so none is taken that could end its place in it. The lines were tried with
//! OpenSSH's server and dropbear's (`tests/relay_script.rs`); which options dropbear knows is from its `svr-authpubkeyoptions.c`, version by version.

use super::greeting::Kind;
use crate::config::Target;

/// The script for the relay's account, as it comes: any port, any account.
pub const SCRIPT: &str = include_str!("lanward-relay.sh");

/// What has to be known for it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The relay's name in the configuration.
    pub name: &'a str,
    /// The relay server, as the router reaches it.
    pub host: &'a str,
    /// Its SSH port.
    pub port: u16,
    /// The account there.
    pub user: &'a str,
    /// The port that is opened on the relay.
    pub remote_port: u16,
    /// Where it leads in the LAN.
    pub target: &'a Target,
    /// What greets there.
    pub kind: Kind,
    /// The router's public key, in one line; `None`: there is no key yet.
    pub public_key: Option<&'a str>,
}

/// Texts to be copied or saved. Each ends with a newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// `~/lanward-relay` on the relay.
    pub script: String,
    /// The line of `~/.ssh/authorized_keys` there for the router's key, where the server is OpenSSH.
    pub authorized_keys: String,
    /// The lines where it is dropbear: the first one that its version understands counts.
    pub authorized_keys_dropbear: String,
    /// The line for the key of the client that comes in, where the server is OpenSSH.
    pub authorized_keys_client: String,
    /// What the server's owner can set where the account may end nothing.
    pub server_settings: String,
    /// How the client comes in.
    pub command: String,
    /// The same as a block for `~/.ssh/config`.
    pub ssh_config: String,
    /// For the remote desktop's client, where the target is RDP.
    pub rdp: Option<String>,
}

/// No server lets an ordinary account listen there: a client's key may open nothing, and no option says so shorter.
const NO_PORT: u16 = 1;
/// OpenSSH's own limits are longer; a key of ed25519 has 68 characters.
const MAX_KEY: usize = 1024;
const MAX_NAME: usize = 64;
const MAX_HOST: usize = 253;

impl Files {
    /// All of them.
    ///
    /// # Errors
    /// Which value cannot stand in these lines, in one line.
    pub fn of(facts: &Facts) -> Result<Self, String> {
        let facts = &Checked::of(facts)?;
        Ok(Self {
            script: script(facts),
            authorized_keys: authorized_keys(facts),
            authorized_keys_dropbear: authorized_keys_dropbear(facts),
            authorized_keys_client: authorized_keys_client(facts),
            server_settings: server_settings(facts),
            command: command(facts),
            ssh_config: ssh_config(facts),
            rdp: (facts.kind == Kind::Rdp).then(|| rdp(facts)),
        })
    }
}

/// The client's own port for a target's: 3389 becomes 33389, since Windows has its 3389 for itself; and none of these wants rights.
#[must_use]
pub fn local_port(target: u16) -> u16 {
    30_000 + target % 10_000
}

/// Facts that can stand in any line.
struct Checked<'a> {
    name: &'a str,
    host: &'a str,
    port: u16,
    user: &'a str,
    remote_port: u16,
    target_port: u16,
    kind: Kind,
    key: String,
}

impl<'a> Checked<'a> {
    fn of(facts: &Facts<'a>) -> Result<Self, String> {
        let word = |what: &str, text: &'a str, max: usize, others: &[u8]| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
            if text.is_empty() || text.len() > max || text.starts_with('-') || !text.bytes().all(fits) {
                return Err(format!(
                    "the {what} '{}' cannot stand in these lines",
                    text.escape_debug()
                ));
            }
            Ok(text)
        };
        for (what, port) in [
            ("port", facts.port),
            ("remote port", facts.remote_port),
            ("target's port", facts.target.port),
        ] {
            if port == 0 {
                return Err(format!("the {what} 0 is none"));
            }
        }
        let name = word("name", facts.name, MAX_NAME, b"_.-")?;
        Ok(Self {
            name,
            host: word("host", facts.host, MAX_HOST, b"_.-:")?,
            port: facts.port,
            user: word("user", facts.user, MAX_NAME, b"_.-")?,
            remote_port: facts.remote_port,
            target_port: facts.target.port,
            kind: facts.kind,
            key: match facts.public_key {
                None => format!("ssh-ed25519 (no key yet: lanward relay keygen {name})"),
                Some(line) => format!("{} lanward-{name}", key(line)?),
            },
        })
    }

    /// The port on this side of the client's connection.
    fn local(&self) -> u16 {
        local_port(self.target_port)
    }
}

/// Algorithm and key of a public key's line; its comment is left out.
fn key(line: &str) -> Result<String, String> {
    let mut words = line.split_ascii_whitespace();
    let (algorithm, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let of = |text: &str, others: &[u8]| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
        !text.is_empty() && text.len() <= MAX_KEY && text.bytes().all(fits)
    };
    match of(algorithm, b"-.@") && !algorithm.starts_with('-') && of(key, b"+/=") {
        true => Ok(format!("{algorithm} {key}")),
        false => Err("the public key is none".to_string()),
    }
}

fn script(facts: &Checked) -> String {
    let Checked {
        name,
        host,
        port,
        user,
        remote_port,
        ..
    } = facts;
    let (first, rest) = SCRIPT.split_once('\n').unwrap_or((SCRIPT, ""));
    format!(
        "{first}\n\
         # For relay '{name}'. It belongs into the home directory of '{user}' on {host}, as lanward-relay:\n\
         #   ssh -p {port} {user}@{host} 'cat >lanward-relay && chmod 700 lanward-relay' <lanward-relay\n\
         # and the line for authorized_keys, which names it and the port {remote_port}, into .ssh/authorized_keys there. The account needs a shell\n\
         # (/bin/sh will do) and no rights.\n\
         #\n\
         {rest}"
    )
}

/// What the account's key may: forward this one port, and have the script run. `restrict` takes everything else away, also what later versions bring.
/// The router asks for the loopback's address, so a server whose owner lets clients choose (`GatewayPorts clientspecified`) opens nothing to the world.
fn authorized_keys(facts: &Checked) -> String {
    let Checked { remote_port, key, .. } = facts;
    format!(
        "restrict,port-forwarding,permitlisten=\"127.0.0.1:{remote_port}\",permitopen=\"127.0.0.1:{remote_port}\",\
         command=\"exec ~/lanward-relay {remote_port}\" {key}\n"
    )
}

/// dropbear takes no line with an option that it does not know. Its `restrict` forbids forwarding, and nothing allows it again.
fn authorized_keys_dropbear(facts: &Checked) -> String {
    let Checked { remote_port, key, .. } = facts;
    let line = |options: &str| {
        format!(
            "no-agent-forwarding,no-X11-forwarding,no-pty{options},command=\"exec ~/lanward-relay {remote_port}\" {key}\n"
        )
    };
    let open = format!(",permitopen=\"127.0.0.1:{remote_port}\"");
    format!(
        "# Dropbear 2026.90 and later\n{}\
         # Dropbear 2022.83 to 2025.89 (they pass over the line above)\n{}\
         # Dropbear before 2022.83 cannot keep this key from connecting to other places. If that is all there is, without the first character:\n#{}",
        line(&format!("{open},permitlisten=\"{remote_port}\"")),
        line(&open),
        line("")
    )
}

/// The client's key may connect to the tunnel and do nothing else: no shell, no command, no port of its own.
fn authorized_keys_client(facts: &Checked) -> String {
    let Checked { remote_port, name, .. } = facts;
    format!(
        "restrict,port-forwarding,permitopen=\"127.0.0.1:{remote_port}\",permitlisten=\"127.0.0.1:{NO_PORT}\",command=\"false\" \
         ssh-ed25519 (the client's public key: ~/.ssh/lanward-{name}.pub)\n"
    )
}

fn server_settings(facts: &Checked) -> String {
    let user = facts.user;
    format!(
        "# OpenSSH: at the end of /etc/ssh/sshd_config, then restart it. A session whose router is gone ends after 45 seconds.\n\
         Match User {user}\n    \
             ClientAliveInterval 15\n    \
             ClientAliveCountMax 3\n    \
             GatewayPorts no\n    \
             AllowTcpForwarding yes\n    \
             AllowStreamLocalForwarding no\n    \
             AllowAgentForwarding no\n    \
             X11Forwarding no\n    \
             PermitTTY no\n\
         # Dropbear (before 2025.89 its sessions are root's, so that the script can end none): one more option where it is started (Debian: DROPBEAR_EXTRA_ARGS in /etc/default/dropbear; OpenWrt: option SSHKeepAlive '15').\n\
         # -K 15\n"
    )
}

fn command(facts: &Checked) -> String {
    let Checked {
        name,
        host,
        port,
        user,
        remote_port,
        ..
    } = facts;
    let local = facts.local();
    format!(
        "# Once: a key of the client's own, not the router's, with a passphrase.\n\
         ssh-keygen -t ed25519 -f ~/.ssh/lanward-{name}\n\
         # While it is needed; the target is then at 127.0.0.1:{local}.\n\
         ssh -N -o ExitOnForwardFailure=yes -o ServerAliveInterval=15 -i ~/.ssh/lanward-{name} -p {port} -L 127.0.0.1:{local}:127.0.0.1:{remote_port} {user}@{host}\n"
    )
}

fn ssh_config(facts: &Checked) -> String {
    let Checked {
        name,
        host,
        port,
        user,
        remote_port,
        ..
    } = facts;
    let local = facts.local();
    format!(
        "# ssh -N lanward-{name}\n\
         Host lanward-{name}\n    \
             HostName {host}\n    \
             Port {port}\n    \
             User {user}\n    \
             IdentityFile ~/.ssh/lanward-{name}\n    \
             IdentitiesOnly yes\n    \
             LocalForward 127.0.0.1:{local} 127.0.0.1:{remote_port}\n    \
             ExitOnForwardFailure yes\n    \
             ServerAliveInterval 15\n    \
             ServerAliveCountMax 3\n"
    )
}

/// What mstsc and others read. The host's certificate never is one for 127.0.0.1: the client asks (2), and whoever sits there compares.
fn rdp(facts: &Checked) -> String {
    let address = format!("full address:s:127.0.0.1:{}", facts.local());
    let lines = [
        address.as_str(),
        "prompt for credentials:i:1",
        "authentication level:i:2",
        "enablecredsspsupport:i:1",
        "negotiate security layer:i:1",
        // No gateway of Microsoft's kind stands between.
        "gatewayusagemethod:i:0",
        "autoreconnection enabled:i:1",
        "networkautodetect:i:1",
        "bandwidthautodetect:i:1",
        "compression:i:1",
        "redirectclipboard:i:1",
        "redirectprinters:i:0",
        "redirectsmartcards:i:0",
        "drivestoredirect:s:",
    ];
    lines.iter().fold(String::new(), |text, line| text + line + "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(port: u16) -> Target {
        Target {
            host: "192.168.1.20".to_string(),
            port,
        }
    }

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbW0n7l0gPEXAMPLEexampleEXAMPLEexampleEX root@router";

    fn facts(target: &Target) -> Facts<'_> {
        Facts {
            name: "office",
            host: "relay.example.net",
            port: 54322,
            user: "relay",
            remote_port: 3389,
            target,
            kind: Kind::of_port(target.port),
            public_key: Some(KEY),
        }
    }

    #[test]
    fn a_key_may_forward_one_port_and_run_the_script() {
        let files = Files::of(&facts(&target(3389))).unwrap();
        assert_eq!(
            files.authorized_keys,
            "restrict,port-forwarding,permitlisten=\"127.0.0.1:3389\",permitopen=\"127.0.0.1:3389\",command=\"exec ~/lanward-relay 3389\" \
             ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbW0n7l0gPEXAMPLEexampleEXAMPLEexampleEX lanward-office\n"
        );
        let lines: Vec<_> = files
            .authorized_keys_dropbear
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(",permitlisten=\"3389\",") && !lines[1].contains("permitlisten"));
        for line in lines {
            assert!(
                line.contains(",permitopen=\"127.0.0.1:3389\",")
                    && line.contains("command=\"exec ~/lanward-relay 3389\" ssh-ed25519 ")
            );
            assert!(!line.contains("restrict") && !line.contains(",port-forwarding"));
        }
    }

    #[test]
    fn the_script_says_where_it_goes_and_stays_itself() {
        let files = Files::of(&facts(&target(3389))).unwrap();
        assert!(files.script.starts_with("#!/bin/sh\n# For relay 'office'."));
        assert!(files.script.contains(
            "ssh -p 54322 relay@relay.example.net 'cat >lanward-relay && chmod 700 lanward-relay' <lanward-relay"
        ));
        assert!(files.script.ends_with(SCRIPT.split_once('\n').unwrap().1));
        assert!(!SCRIPT.contains('\r') && SCRIPT.is_ascii());
    }

    #[test]
    fn the_client_gets_a_port_that_windows_has_not_taken() {
        let files = Files::of(&facts(&target(3389))).unwrap();
        assert!(files
            .command
            .ends_with(" -p 54322 -L 127.0.0.1:33389:127.0.0.1:3389 relay@relay.example.net\n"));
        assert!(files.command.contains("passphrase"));
        assert!(files
            .ssh_config
            .contains("    LocalForward 127.0.0.1:33389 127.0.0.1:3389\n"));
        let rdp = files.rdp.unwrap();
        assert!(rdp.starts_with("full address:s:127.0.0.1:33389\r\n"));
        assert!(rdp.lines().all(|line| rdp.contains(&format!("{line}\r\n"))));
        assert_eq!(rdp.matches('\n').count(), rdp.matches("\r\n").count());
        assert_eq!(Files::of(&facts(&target(22))).unwrap().rdp, None);
        for port in 1..=u16::MAX {
            assert!((30_000..40_000).contains(&local_port(port)), "{port}");
        }
    }

    #[test]
    fn without_a_key_the_line_says_how_to_make_one_and_is_none() {
        let target = target(22);
        let files = Files::of(&Facts {
            public_key: None,
            ..facts(&target)
        })
        .unwrap();
        assert!(files.authorized_keys.contains("lanward relay keygen office"));
    }

    #[test]
    fn what_could_break_out_of_a_line_is_refused() {
        let target = target(3389);
        let good = facts(&target);
        let long = "a".repeat(300);
        for text in [
            "",
            "-oProxyCommand=x",
            "a b",
            "a;id",
            "a\nb",
            "a'b",
            "a\"b",
            "a$b",
            "a`b`",
            "a#b",
            "a*",
            "a%h",
            "a,b",
            "a\\b",
            "a/../b",
            "ä",
            "a\u{202e}b",
            &long,
        ] {
            let all = [
                Facts { name: text, ..good },
                Facts { host: text, ..good },
                Facts { user: text, ..good },
            ];
            for facts in all {
                let refused = Files::of(&facts).unwrap_err();
                assert!(!refused.contains('\n') && refused.contains("cannot stand"), "{refused}");
            }
        }
        for line in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 A\"A",
            "a\"b AAAA",
            "-x AAAA",
            "ssh-ed25519 $(id)",
        ] {
            let facts = Facts {
                public_key: Some(line),
                ..good
            };
            assert_eq!(Files::of(&facts).unwrap_err(), "the public key is none", "{line}");
        }
        // Its comment is somebody's text, and not copied.
        let facts = Facts {
            public_key: Some("ssh-ed25519 AAAA \"\n* evil"),
            ..good
        };
        assert!(!Files::of(&facts).unwrap().authorized_keys.contains("evil"));
        for facts in [Facts { port: 0, ..good }, Facts { remote_port: 0, ..good }] {
            assert!(Files::of(&facts).unwrap_err().ends_with("0 is none"));
        }
    }
}
