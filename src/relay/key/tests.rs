//! The formats beside the programs that define them: ssh-keygen, dropbearkey, dropbearconvert, and the two clients.

use super::*;
use crate::relay::words::{word, worst, Word};
use lanward_rig::report_line::{skip, this_test};
use lanward_rig::scratch::Scratch;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A directory of a test's own, gone with it.
struct Folder(Scratch);

impl Folder {
    /// `None`, loudly, where one of the programs is missing.
    fn with(programs: &[&str]) -> Option<Self> {
        let is_there = |program: &&&str| {
            let found = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(|folder| PathBuf::from(folder).join(program));
            found.iter().any(|path| path.exists())
        };
        if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
            skip(&this_test(), &format!("{missing} is not installed"));
            return None;
        }
        Some(Self(Scratch::new("keys")))
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        self.0.write(name, bytes);
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    /// What a program says, started in the directory.
    fn run(&self, line: &str) -> Output {
        let words: Vec<&str> = line
            .split(' ')
            .map(|word| if word == "''" { "" } else { word })
            .collect();
        Command::new(words[0])
            .args(&words[1..])
            .current_dir(&self.0)
            .env("HOME", &*self.0)
            .output()
            .unwrap()
    }

    fn lines(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A key that no program has made; what it signs is right as to the form.
fn some_key() -> PrivateKey {
    let secret: Vec<u8> = (0..64).collect();
    PrivateKey {
        secret: Zeroizing::new(secret),
    }
}

fn ed25519(file: &[u8]) -> PrivateKey {
    match PrivateKey::parse(file) {
        Ok(KeyFile::Ed25519(key)) => key,
        Ok(KeyFile::Other(form)) => panic!("another key of {form:?}"),
        Err(error) => panic!("{error}"),
    }
}

fn other(file: &[u8]) -> Result<Option<Form>, &'static str> {
    PrivateKey::parse(file).map(|file| match file {
        KeyFile::Ed25519(_) => None,
        KeyFile::Other(form) => Some(form),
    })
}

#[test]
fn keys_of_all_types_are_read_as_ssh_keygen_writes_them() {
    let Some(folder) = Folder::with(&["ssh-keygen"]) else {
        return;
    };
    for (kind, bits) in [
        ("ed25519", "256"),
        ("rsa", "2048"),
        ("rsa", "4096"),
        ("rsa", "16384"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
    ] {
        let name = format!("{kind}{bits}");
        // A key of 16384 bits takes minutes to make: its public part is put together.
        if bits == "16384" {
            let mut blob = Vec::new();
            put(&mut blob, b"ssh-rsa");
            put(&mut blob, &[1, 0, 1]);
            put(&mut blob, &[&[0][..], &[0xa5; 2048]].concat());
            folder.write(&format!("{name}.pub"), line("ssh-rsa", &blob).as_bytes());
        } else {
            folder.lines(&format!("ssh-keygen -q -t {kind} -b {bits} -N '' -C a@b -f {name}"));
        }
        let public = String::from_utf8(folder.read(&format!("{name}.pub"))).unwrap();
        let key = HostKey::parse(&public).unwrap();
        assert_eq!(key.line(), public.trim_end().trim_end_matches(" a@b"));
        assert_eq!(Some(key.kind()), public.split(' ').next());
        let printed = folder.lines(&format!("ssh-keygen -l -f {name}.pub"));
        assert_eq!(printed.split(' ').nth(1), Some(key.fingerprint().as_str()));
    }
}

/// Keys in hardware, from OpenSSH's regress/unittests/sshkey/testdata in form; the device is not needed to know one.
#[test]
fn keys_in_hardware_are_known() {
    for (kind, parts) in [
        ("sk-ssh-ed25519@openssh.com", &[32, 4][..]),
        ("sk-ecdsa-sha2-nistp256@openssh.com", &[8, 65, 4]),
    ] {
        let mut blob = Vec::new();
        put(&mut blob, kind.as_bytes());
        for length in parts {
            put(&mut blob, &vec![7; *length]);
        }
        assert_eq!(HostKey::parse(&line(kind, &blob)).unwrap().kind(), kind);
    }
}

#[test]
fn what_is_no_host_key_is_told() {
    const RIGHT: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICQKHmRW0qNetuQfvWinyyy2aMBtFNA4QMLEFiQ76nuA";
    let (_, coded) = RIGHT.split_once(' ').unwrap();
    assert_eq!(
        HostKey::parse(&format!("  {RIGHT}\t root@relay\n")).unwrap().line(),
        RIGHT
    );
    assert_eq!(
        HostKey::parse(RIGHT).unwrap().fingerprint(),
        "SHA256:4qbG5b1p3iyEKgpFS7FpKCfd3T2CCWSSKNYNUM8pus8"
    );
    let longer = RIGHT.to_owned() + "AAAA";
    let long = format!("ssh-rsa {}", "A".repeat(LONGEST + 4));
    for (text, wrong) in [
        ("", "empty"),
        (" \n", "empty"),
        ("SHA256:4qbG5b1p3iyEKgpFS7FpKCfd3T2CCWSSKNYNUM8pus8", "fingerprint"),
        (&format!("relay {RIGHT}"), "known type"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "known type"),
        ("ssh-ed25519", "nothing behind"),
        (&format!("ssh-rsa {coded}"), "another type"),
        (&RIGHT[..RIGHT.len() - 4], "cut off"),
        (&RIGHT[..RIGHT.len() - 3], "not base64"),
        (&longer, "behind its end"),
        (&format!("{RIGHT}=="), "not base64"),
        ("ssh-ed25519 ????", "not base64"),
        ("ssh-ed25519 =", "not base64"),
        ("ssh-ed25519 AAAA", "another type"),
        (&long, "too long"),
        ("ssh-ed25519 \u{e4}\u{1f980}", "not base64"),
    ] {
        let error = HostKey::parse(text).unwrap_err();
        assert!(error.contains(wrong), "{text}: {error}");
    }
    // Any bit of it changed is another key or none, never the same.
    for (at, byte) in RIGHT.bytes().enumerate() {
        let mut other = RIGHT.as_bytes().to_vec();
        other[at] = byte ^ 1;
        let other = HostKey::parse(std::str::from_utf8(&other).unwrap());
        assert!(other.is_err() || other != HostKey::parse(RIGHT), "{at}");
    }
}

#[test]
fn padding_is_put_right() {
    let (mut two, mut one) = (Vec::new(), Vec::new());
    for (blob, length) in [(&mut two, 3), (&mut one, 4)] {
        put(blob, b"ssh-rsa");
        put(blob, &[1, 0, 1]);
        put(blob, &vec![7; length]);
    }
    for blob in [two, one] {
        let right = line("ssh-rsa", &blob);
        let bare = right.trim_end_matches('=');
        assert_ne!(bare, right, "it has some");
        assert_eq!(HostKey::parse(bare).unwrap().line(), right);
        assert_eq!(HostKey::parse(&right).unwrap().line(), right);
    }
}

#[test]
fn what_a_client_has_written_down_is_found() {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICQKHmRW0qNetuQfvWinyyy2aMBtFNA4QMLEFiQ76nuA";
    let found = |text: &str| offered(text.as_bytes()).map(|key| key.line().to_string());
    for text in [
        format!("relay {KEY}\n"),
        // Hashed; behind a comment, a marker, a broken line; by dropbear.
        format!("|1|ojIPFPsuNj7374OnDYs5wyyyCos=|aKqNeCQJeVDqwbeOVSfDTgrb/s0= {KEY}\n"),
        format!("# {KEY}\n@revoked * {KEY}x\n\nrelay ssh-ed25519\n127.0.0.1 {KEY}"),
        format!("a {KEY}\nb {}\n", some_key().public_key().line()),
    ] {
        assert_eq!(found(&text).as_deref(), Some(KEY), "{text}");
    }
    for text in ["", "\n\n", KEY, "relay ssh-ed25519 AAAA"] {
        assert_eq!(found(text), None, "{text}");
    }
    assert_eq!(
        offered(&[&b"\xff \xff\n"[..], format!("r {KEY}").as_bytes()].concat())
            .unwrap()
            .line(),
        KEY
    );
}

/// A key of ssh-keygen's for dropbear, as dropbearconvert makes it, and back for ssh-keygen.
#[test]
fn openssh_keys_become_dropbears_and_come_back() {
    let Some(folder) = Folder::with(&["ssh-keygen", "dropbearkey", "dropbearconvert"]) else {
        return;
    };
    for number in 0..4 {
        // Comments of all lengths are filled up differently.
        let comment = "c".repeat(number);
        folder.lines(&format!(
            "ssh-keygen -q -t ed25519 -N '' -C {} -f key",
            if number == 0 { "''" } else { &comment }
        ));
        let key = ed25519(&folder.read("key"));
        let public = String::from_utf8(folder.read("key.pub")).unwrap();
        assert_eq!(key.public_line(&comment), public.trim_end());
        folder.run("dropbearconvert openssh dropbear key converted");
        assert_eq!(*key.dropbear(), folder.read("converted"));
        assert_eq!(key.dropbear().len(), 83);
        folder.write("ours", &key.dropbear());
        assert!(folder.lines("dropbearkey -y -f ours").contains(key.public_key().line()));
        let again = ed25519(&key.dropbear());
        assert_eq!(*again.secret, *key.secret);
        folder.write("back", &again.openssh());
        assert_eq!(folder.lines("ssh-keygen -y -f back").trim_end(), key.public_line(""));
        fs::remove_file(folder.0.join("key")).unwrap();
    }
}

#[test]
fn dropbears_keys_become_opensshs_and_come_back() {
    let Some(folder) = Folder::with(&["ssh-keygen", "dropbearkey", "dropbearconvert"]) else {
        return;
    };
    let printed = folder.lines("dropbearkey -t ed25519 -f key");
    let key = ed25519(&folder.read("key"));
    assert!(printed.contains(key.public_key().line()), "{printed}");
    folder.write("ours", &key.openssh());
    assert_eq!(folder.lines("ssh-keygen -y -f ours").trim_end(), key.public_line(""));
    assert_eq!(
        folder.lines("ssh-keygen -l -f ours").split(' ').nth(1),
        Some(key.public_key().fingerprint().as_str())
    );
    // It signs, and what it signs is right: the seed is in its place, too.
    folder.write("text", b"text");
    folder.run("ssh-keygen -q -Y sign -n test -f ours text");
    folder.write("allowed", format!("me {}\n", key.public_line("")).as_bytes());
    let verify = "ssh-keygen -Y verify -f allowed -I me -n test -s text.sig";
    let verified = Command::new("sh")
        .args(["-c", &format!("exec {verify} <text")])
        .current_dir(&folder.0)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    // dropbearconvert makes the same of it, but for the two numbers and its comment.
    folder.run("dropbearconvert dropbear openssh key theirs");
    assert_eq!(*ed25519(&folder.read("theirs")).secret, *key.secret);
    folder.run("dropbearconvert openssh dropbear ours again");
    assert_eq!(folder.read("again"), folder.read("key"));
}

#[test]
fn other_keys_are_left_to_the_client_of_their_form() {
    let Some(folder) = Folder::with(&["ssh-keygen", "dropbearkey"]) else {
        return;
    };
    for (number, options) in [
        "-t ecdsa -N ''",
        "-t rsa -b 2048 -N ''",
        "-t rsa -b 2048 -N '' -m PEM",
        "-t ecdsa -N '' -m PEM",
        "-t ecdsa -N '' -m PKCS8",
    ]
    .iter()
    .enumerate()
    {
        folder.lines(&format!("ssh-keygen -q {options} -f o{number}"));
        assert_eq!(
            other(&folder.read(&format!("o{number}"))),
            Ok(Some(Form::OpenSsh)),
            "{options}"
        );
    }
    for kind in ["rsa", "ecdsa"] {
        folder.lines(&format!("dropbearkey -t {kind} -f d{kind}"));
        assert_eq!(
            other(&folder.read(&format!("d{kind}"))),
            Ok(Some(Form::Dropbear)),
            "{kind}"
        );
    }
}

#[test]
fn keys_with_a_passphrase_and_what_is_none_are_told() {
    let Some(folder) = Folder::with(&["ssh-keygen"]) else {
        return;
    };
    for (number, options) in [
        "-t ed25519",
        "-t rsa -b 2048",
        "-t rsa -b 2048 -m PEM",
        "-t ecdsa -m PKCS8",
    ]
    .iter()
    .enumerate()
    {
        folder.lines(&format!("ssh-keygen -q {options} -N secret -f e{number}"));
        assert_eq!(other(&folder.read(&format!("e{number}"))), Err(ENCRYPTED), "{options}");
    }
    let large = vec![0; LARGEST_FILE + 1];
    for (file, wrong) in [
        (&folder.read("e0.pub")[..], "public key"),
        (b"", "empty"),
        (b"\n", "no private key"),
        (b"rubbish", "no private key"),
        (&large, "too large"),
        (&[0; 1000], "no private key"),
        (
            b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
            "something else",
        ),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "damaged"),
        (b"PuTTY-User-Key-File-3: ssh-ed25519\n", "PuTTY"),
        (b"\0\0\0\x0bssh-ed25519\0\0\0\x3f", "no private key"),
        (b"\0\0\0\x07ssh-rsa", "no private key"),
        (b"\xff\xff\xff\xffssh-rsa", "no private key"),
    ] {
        let error = other(file).unwrap_err();
        assert!(error.contains(wrong), "{error}");
    }
}

/// Every bit of both forms, changed: another key, or none; never a panic, and never one whose two public parts are not the same.
#[test]
fn damaged_keys_are_none() {
    let key = some_key();
    for (file, ours) in [(key.openssh(), Form::OpenSsh), (key.dropbear(), Form::Dropbear)] {
        for at in 0..file.len() {
            let cut = other(&file[..at]);
            // The last line's end is not needed.
            assert!(cut.is_err() || at == file.len() - 1 && ours == Form::OpenSsh, "{at}");
            for bit in 0..8 {
                let mut damaged = file.to_vec();
                damaged[at] ^= 1 << bit;
                if let Ok(KeyFile::Ed25519(other)) = PrivateKey::parse(&damaged) {
                    let again = ed25519(&other.openssh());
                    assert_eq!(*again.secret, *other.secret);
                }
            }
        }
    }
    // Each public part is compared with the others: a byte in one of three, in the text's base64.
    let text = String::from_utf8(key.openssh().to_vec()).unwrap();
    let (begin, coded) = text.split_once('\n').unwrap();
    let (coded, _) = coded.split_once("\n-----END").unwrap();
    let blob = bytes(coded.replace('\n', "").as_bytes()).unwrap();
    let public: Vec<usize> = (0..blob.len())
        .filter(|at| blob[*at..].starts_with(&key.secret[PART..]))
        .collect();
    assert_eq!(public.len(), 3);
    for at in public {
        let mut blob = blob.to_vec();
        blob[at] ^= 1;
        let file = format!(
            "{begin}\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            encode(&blob).as_str()
        );
        assert_eq!(other(file.as_bytes()), Err(BROKEN), "{at}");
    }
}

#[test]
fn nothing_of_a_key_is_left_in_memory_that_grew() {
    let key = some_key();
    assert_eq!(key.openssh().capacity(), 512, "it was large enough");
    assert_eq!(key.dropbear().capacity(), 96);
}

#[test]
fn a_comment_makes_no_second_line() {
    let line = some_key().public_line("office\nssh-ed25519 AAAA\r\x1b[1m");
    assert_eq!(line.lines().count(), 1);
    assert!(line.ends_with(" officessh-ed25519 AAAA[1m"));
}

/// Both clients, at a server whose key is ours: with the right key, another and none known. What they say is what [`word`] reads.
#[test]
fn real_clients_know_the_relay_by_these_files() {
    let Some(folder) = Folder::with(&[
        "ssh",
        "dbclient",
        "dropbear",
        "dropbearkey",
        "ssh-keygen",
        "setsid",
        "unshare",
        "ip",
    ]) else {
        return;
    };
    if !nix::unistd::geteuid().is_root() {
        return skip(&this_test(), "a network namespace wants root");
    }
    for name in ["host", "other", "me"] {
        folder.lines(&format!("dropbearkey -t ed25519 -f {name}"));
    }
    let key = |name: &str| ed25519(&folder.read(name));
    folder.write("me.openssh", &key("me").openssh());
    fs::create_dir(folder.0.join(".ssh")).unwrap();
    // What is known; what the client is, and what it is told to a question.
    let case = |known: Option<&str>, client: &str, input: &str| {
        let known = known.map(|name| key(name).public_key());
        let known_hosts = known.map_or(String::new(), |key| match client {
            "dbclient" => known_hosts_dropbear("127.0.0.1", &key),
            _ => known_hosts_openssh("office", &key),
        });
        folder.write(".ssh/known_hosts", known_hosts.as_bytes());
        let line = match client {
            "dbclient" => "dbclient -T -i me".to_string(),
            checking => format!("ssh -F none -T -i me.openssh -o BatchMode=yes -o IdentitiesOnly=yes -o HostKeyAlias=office -o UserKnownHostsFile={}/.ssh/known_hosts -o GlobalKnownHostsFile=none -o StrictHostKeyChecking={checking}", folder.0.display()),
        };
        // dropbear's server notices that it is to end when it looks for a connection next, and not between that and its waiting for one.
        let script = format!("ip link set lo up; dropbear -F -s -r host -p 127.0.0.1:2222 & sleep 0.3; echo {input} | setsid -w timeout 5 {line} -p 2222 nobody@127.0.0.1 true 2>said; kill -9 $!");
        let output = Command::new("unshare")
            .args(["-n", "sh", "-c", &script])
            .current_dir(&folder.0)
            .env("HOME", &*folder.0)
            .output()
            .unwrap();
        let said = folder.read("said");
        let words: Vec<Word> = said.split(|byte| *byte == b'\n').filter_map(word).collect();
        let shown = format!("{known_hosts}{}{output:?}", String::from_utf8_lossy(&said));
        (worst(&words), offered(&folder.read(".ssh/known_hosts")), shown)
    };
    let right = Some(key("host").public_key());
    for (known, client, input, meant) in [
        (Some("host"), "yes", "", Word::KeyRefused),
        (Some("other"), "yes", "", Word::HostKeyChanged),
        (None, "yes", "", Word::HostKeyUnknown),
        (None, "accept-new", "", Word::KeyRefused),
        (Some("host"), "dbclient", "", Word::KeyRefused),
        (Some("other"), "dbclient", "", Word::HostKeyChanged),
        (None, "dbclient", "n", Word::HostKeyUnknown),
        // Its question comes in the way of the next line, but only the end counts. dropbear's -y writes nothing down: y does.
        (None, "dbclient", "y", Word::KeyRefused),
    ] {
        let (said, written, shown) = case(known, client, input);
        let expected = if (client, input) == ("dbclient", "y") {
            written.is_some()
        } else {
            said == Some(meant)
        };
        assert!(expected, "{known:?} {client} {input}: {said:?}\n{shown}");
        if known.is_none() && meant == Word::KeyRefused {
            assert!(written == right, "{shown}");
        }
    }
}
