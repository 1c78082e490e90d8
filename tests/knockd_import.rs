//! knockd's files taken over: by example, by property, and beside knockd's own reader.

#![allow(clippy::unwrap_used)]

use lanward::config::{self, Knock, Protocol, Step};
use lanward::knockd_import::{import, Imported, MAX_BYTES, MAX_LINES};
use lanward_rig::report_line;
use lanward_rig::scratch::Scratch;
use proptest::prelude::*;
use proptest::sample::select;
use std::path::{Path, PathBuf};
use std::process::Command;

const GATE: &str = "config gate 'ssh'\n\toption enabled '1'\n\tlist service 'tcp:22'\n";

/// The sections that our own reader makes of the output. It has to have no problem with any of them.
#[track_caller]
fn knocks(imported: &Imported) -> Vec<Knock> {
    let text = format!("{GATE}{}", imported.uci);
    let (config, problems) = config::read_text(Some(text.as_bytes()));
    assert_eq!(problems, [], "{text}");
    config.knocks
}

fn samples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/knockd");
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut samples: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    samples.sort();
    assert!(samples.len() >= 3);
    samples
}

fn shown(imported: &Imported) -> String {
    let mut text = imported.uci.clone();
    text += "== remarks ==\n";
    for remark in &imported.remarks {
        text += &format!("{} {remark}\n", if remark.lost { "lost" } else { "note" });
    }
    text
}

/// Each sample beside what became of it. `LANWARD_GOLDEN=rewrite` writes it down anew.
#[test]
fn samples_become_what_stands_beside_them() {
    for sample in samples() {
        let imported = import(&std::fs::read(&sample).unwrap(), "ssh");
        knocks(&imported);
        let beside = sample.with_extension("imported");
        if std::env::var_os("LANWARD_GOLDEN").is_some_and(|value| value == "rewrite") {
            std::fs::write(&beside, shown(&imported)).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(shown(&imported), expected, "{}", sample.display());
    }
}

/// A command, and which port it opens or closes, if that is to be known.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Opens(u16),
    Closes(u16),
    Unknown,
}

const COMMANDS: &[(&str, Does)] = &[
    ("iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT", Does::Opens(22)),
    ("/sbin/iptables -I INPUT 3 -p tcp --source %IP% --dport ssh -m state --state NEW -j ACCEPT", Does::Opens(22)),
    ("iptables -I INPUT -s %IP% -p tcp --dport 443 -j ACCEPT >/dev/null 2>&1", Does::Opens(443)),
    ("iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT", Does::Closes(22)),
    ("iptables -t filter -w -D INPUT --src %IP% --protocol tcp --destination-port 443 --jump ACCEPT", Does::Closes(443)),
    ("ufw allow from %IP% to any port 22 proto tcp", Does::Opens(22)),
    ("ufw delete allow from %IP% to any port 22 proto tcp", Does::Closes(22)),
    ("nft add rule inet filter input ip saddr %IP% tcp dport 22 accept", Does::Opens(22)),
    ("iptables -I INPUT -s %IP% -p tcp --dport 22 -j DROP", Does::Unknown),
    ("iptables -I INPUT ! -s %IP% -p tcp --dport 22 -j ACCEPT", Does::Unknown),
    ("iptables -I INPUT -s 192.0.2.1 -p tcp --dport 22 -j ACCEPT", Does::Unknown),
    ("iptables -I INPUT -s %IP% -p udp --dport 22 -j ACCEPT", Does::Unknown),
    ("iptables -t nat -I PREROUTING -s %IP% -p tcp --dport 22 -j ACCEPT", Does::Unknown),
    ("iptables -D INPUT 3", Does::Unknown),
    ("iptables -I INPUT -s %IP% -p tcp --dport 22 -m state --state ESTABLISHED -j ACCEPT", Does::Unknown),
    ("iptables -I INPUT -s %IP% -p tcp --dport 22 -j ACCEPT || true", Does::Unknown),
    ("iptables -I INPUT -s %IP% -p tcp --dport 22 -j ACCEPT; reboot", Does::Unknown),
    ("iptables -I INPUT -s %IP% -p tcp --dport 22 -j ACCEPT && iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT", Does::Unknown),
    ("sh -c 'iptables -I INPUT -s %IP% -p tcp --dport 22 -j ACCEPT'", Does::Unknown),
    ("iptables -I OUTPUT -s %IP% -p tcp --dport 22 -j ACCEPT", Does::Unknown),
    ("iptables -I INPUT -s %IP% -p tcp --dport \"22 -j ACCEPT", Does::Unknown),
    ("nft add rule inet filter input ip saddr %IP% tcp dport != 22 accept", Does::Unknown),
    ("nft add rule inet filter input ip saddr %IP% tcp dport 22 drop", Does::Unknown),
    ("nft add element inet filter banned { %IP% }", Does::Unknown),
    ("ipset add banned %IP%", Does::Unknown),
    ("ufw deny from %IP%", Does::Unknown),
    ("ufw delete deny from %IP%", Does::Unknown),
    ("/usr/bin/etherwake 00:11:22:33:44:55", Does::Unknown),
    ("", Does::Unknown),
];

fn one_door(command: &str) -> Imported {
    let text = format!("[door]\nsequence = 1,2\ntcpflags = syn\ncommand = {command}\n");
    import(text.as_bytes(), "ssh")
}

#[test]
fn only_a_command_that_is_known_to_open_opens() {
    for (command, does) in COMMANDS {
        let imported = one_door(command);
        let opens = matches!(does, Does::Opens(_));
        assert_eq!(knocks(&imported).len(), usize::from(opens), "{command}\n{imported:#?}");
        let remark = imported.remarks.iter().find(|remark| remark.line == 4).unwrap();
        assert_eq!(remark.lost, *does == Does::Unknown, "{command}: {remark}");
        if let Does::Opens(port) = does {
            assert!(remark.message.contains(&format!("'tcp:{port}'")), "{remark}");
        }
    }
}

#[test]
fn a_closing_door_joins_what_opens_the_same_and_nothing_else() {
    let closes: Vec<_> = COMMANDS
        .iter()
        .filter(|(_, does)| matches!(does, Does::Closes(_)))
        .collect();
    let opens: Vec<_> = COMMANDS
        .iter()
        .filter(|(_, does)| matches!(does, Does::Opens(_)))
        .collect();
    let mut joined = 0;
    for (opening, does) in opens.iter().copied() {
        let Does::Opens(port) = does else { continue };
        for (closing, closed) in closes.iter().copied() {
            let same_tool = opening.contains("tables") == closing.contains("tables") && !opening.contains("nft");
            let text = format!("[o]\nsequence = 1,2\ncommand = {opening}\n[c]\nsequence = 2,1\ncommand = {closing}\n");
            let imported = import(text.as_bytes(), "ssh");
            let knocks = knocks(&imported);
            assert_eq!(knocks.len(), 1);
            let expected = same_tool && *closed == Does::Closes(*port);
            assert_eq!(!knocks[0].close.is_empty(), expected, "{text}{imported:#?}");
            assert_eq!(knocks[0].seconds == 0, expected);
            joined += usize::from(expected);
        }
    }
    assert_eq!(joined, 4);
}

#[test]
fn nobody_is_sent_to_a_section_that_is_not_there() {
    for door in [
        "[once]\none_time_sequences = /etc/once\ncommand = /sbin/reboot\n",
        "[wrong]\nsequence = 7000:\ncommand = /sbin/reboot\n",
        "[none]\ncommand = /sbin/reboot\n",
    ] {
        let imported = import(door.as_bytes(), "ssh");
        assert_eq!(imported.uci.trim(), "", "{door}");
        let remarks: Vec<String> = imported.remarks.iter().map(ToString::to_string).collect();
        assert!(remarks.iter().any(|line| line.ends_with(": not run")), "{remarks:#?}");
        assert!(!remarks.iter().any(|line| line.contains("section")), "{remarks:#?}");
    }
}

#[test]
fn names_are_never_ours_nor_twice() {
    let door = "sequence = 1,2\ncommand = iptables -I INPUT -s %IP% -j ACCEPT\n";
    let names = [
        "ssh", "lanward", "lan_only", "ledger", "a b", "a'b", "a\u{7f}b", "a_b", "___", "é", "a_b_5",
    ];
    let text: String = names.iter().map(|name| format!("[{name}]\n{door}")).collect();
    let imported = import(text.as_bytes(), "ssh");
    let mut found: Vec<_> = knocks(&imported).into_iter().map(|knock| knock.name).collect();
    assert_eq!(found.len(), names.len());
    found.sort();
    found.dedup();
    assert_eq!(found.len(), names.len());
    assert!(!found
        .iter()
        .any(|name| ["ssh", "lanward", "lan_only", "ledger"].contains(&name.as_str())));
    for gate in ["", "a b", "x'\n\toption enabled '0", "é"] {
        let imported = import(text.as_bytes(), gate);
        assert_eq!(well_formed(&imported), 0, "{gate}");
        assert!(imported.remarks[0].lost && imported.remarks[0].line == 0);
    }
}

/// Every line of the output is of a known form, comments too (somebody will take the # away). How many sections are no comments.
#[track_caller]
fn well_formed(imported: &Imported) -> usize {
    let name = |text: &str| {
        !text.is_empty() && text.len() < 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let value = |text: &str, head: &str, check: &dyn Fn(&str) -> bool| {
        text.strip_prefix(head)
            .and_then(|rest| rest.strip_suffix('\''))
            .is_some_and(check)
    };
    let number = |text: &str| text.parse::<u32>().is_ok();
    let step = |text: &str| {
        let (protocol, port) = text.split_once(':').unwrap_or_default();
        matches!(protocol, "tcp" | "udp") && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let mut sections = 0;
    for line in imported.uci.lines().filter(|line| !line.is_empty()) {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let right = value(bare, "config knock '", &name)
            || value(bare, "\toption gate '", &name)
            || value(bare, "\toption timeout '", &number)
            || value(bare, "\toption seconds '", &number)
            || value(bare, "\tlist open '", &step)
            || value(bare, "\tlist close '", &step);
        assert!(right, "{line:?}");
        sections += usize::from(line.starts_with("config "));
    }
    for remark in &imported.remarks {
        assert!(!remark.to_string().chars().any(char::is_control), "{remark:?}");
        assert!(remark.to_string().len() < 2000, "{remark:?}");
    }
    sections
}

#[test]
fn hostile_texts_are_bounded() {
    let long = |piece: &str, times: usize| piece.repeat(times);
    let door = "[d]\nsequence=1,2\ncommand=iptables -I INPUT -s %IP% -j ACCEPT\n";
    let texts = [
        long("x", 65_536),
        format!("[{}]\n{door}", long("n", 65_536)),
        format!("[d]\nsequence = {}\n", long("1,", 2000)),
        format!("[d]\nsequence = 1,2\ncommand = {}\n", long("iptables ", 400)),
        long("[d]\n", MAX_LINES + 9),
        long(door, MAX_LINES / 3),
        long(door, MAX_LINES),
        format!("{door}#{}\n", long("#", 65_536)),
        long("#\n", MAX_BYTES),
        "[d'\n".repeat(100),
    ];
    for text in &texts {
        let imported = import(text.as_bytes(), "ssh");
        assert_eq!(well_formed(&imported), knocks(&imported).len());
        assert!(imported.remarks.len() <= 4 * MAX_LINES, "{}", imported.remarks.len());
        assert!(imported.remarks.iter().any(|remark| remark.lost));
    }
    let taken = import(long(door, MAX_LINES / 3).as_bytes(), "ssh");
    // As many as the configuration may have.
    assert_eq!(knocks(&taken).len(), 64);
    let nul = import(
        b"[d]\nsequence=1,2\0,3\ncommand=iptables -I INPUT -s %IP% -j ACCEPT\n",
        "ssh",
    );
    assert_eq!(knocks(&nul).len(), 0);
    assert!(nul.remarks.iter().any(|remark| remark.line == 2 && remark.lost));
}

/// One line of a file: as people write them, and as they should not.
fn line() -> impl Strategy<Value = String> {
    let title = select(vec![
        "openSSH", "closeSSH", "options", "a b", "x'y", "Options", "ssh", "7", " ", "",
    ]);
    let word = |words: Vec<&'static str>| {
        (select(words), any::<bool>(), select(vec![" = ", "=", "\t=  "])).prop_map(|(word, upper, equals)| {
            format!("{}{equals}", if upper { word.to_uppercase() } else { word.to_string() })
        })
    };
    let sequence = prop_oneof![
        4 => prop::collection::vec((1..9_u16, select(vec!["", ":tcp", ":udp", " : UDP", " "])), 1..5)
            .prop_map(|steps| steps.iter().map(|(port, rest)| format!("{port}{rest}")).collect::<Vec<_>>().join(",")),
        1 => select(vec!["7000,8000,", "0,1", "70000", "a,b", "1:,2", "1:udp:tcp,2", "7x,8 # y", "-1,2", "+8,9", ""]).prop_map(String::from),
        1 => (1..40_u16).prop_map(|count| (1..=count).map(|port| port.to_string()).collect::<Vec<_>>().join(",")),
    ];
    let time = select(vec!["5", "15", "0", "-3", "5s", "abc", "", "4000", "99999999", " 30 "]);
    let flags = select(vec![
        "syn", "SYN,!ACK", "syn,ack", "fin", "!ack", "syn, ack", "syn,x", "", "!syn", "syn,!psh",
    ]);
    let commands: Vec<&str> = COMMANDS.iter().map(|(command, _)| *command).collect();
    prop_oneof![
        4 => title.prop_map(|title| format!("[{title}]")),
        4 => (word(vec!["Sequence"]), sequence).prop_map(|(key, value)| key + &value),
        1 => (word(vec!["Seq_Timeout", "Timeout", "Cmd_Timeout"]), time).prop_map(|(key, value)| key + value),
        2 => (word(vec!["TCPFlags"]), flags).prop_map(|(key, value)| key + value),
        3 => (word(vec!["Command", "Start_Command"]), select(commands.clone())).prop_map(|(key, value)| key + value),
        1 => (word(vec!["Start_Command_6", "Stop_Command", "Stop_Command_6", "Command_6"]), select(commands)).prop_map(|(key, value)| key + value),
        1 => select(vec!["# a comment", "", "UseSyslog", "usesyslog = 1", "Target = 192.0.2.9", "Interface = eth0", "PidFile = /dev/null",
            "LogFile = /dev/null", "nonsense", "no = thing", "; x", "[open", "One_Time_Sequences = /nonexistent", "\u{feff}[d]", "\0", "[d]\0x"]).prop_map(String::from),
    ]
    .prop_flat_map(|line| (Just(line), select(vec!["", "\t", "  "]), select(vec!["", " ", "\r"])))
    .prop_map(|(line, before, after)| format!("{before}{line}{after}"))
}

fn file() -> impl Strategy<Value = String> {
    // Mostly whole doors, so that most are taken over; with each directive that is right but has no equal here.
    let more = select(vec![
        "Target = 192.0.2.9",
        "TARGET=192.0.2.9",
        "usesyslog",
        "timeout = 9",
        "seq_timeout = 9",
        "cmd_timeout = 9",
        "tcpflags = !fin",
        "tcpflags = !psh",
        "stop_command = /bin/true",
        "stop_command_6 = /bin/true",
        "start_command_6 =",
        "sequence = 3,4",
    ]);
    let opening: Vec<&str> = COMMANDS
        .iter()
        .filter(|(_, does)| *does != Does::Unknown)
        .map(|(command, _)| *command)
        .collect();
    let door = (
        select(vec!["openSSH", "closeSSH", "a b", "third"]),
        prop::collection::vec(1..9_u16, 1..4),
        select(opening),
        prop_oneof![1 => prop::collection::vec(line(), 0..2), 1 => more.prop_map(|line| vec![line.to_owned()])],
    )
        .prop_map(|(name, ports, command, more)| {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            format!(
                "[{name}]\nsequence = {}\ntcpflags = syn\ncommand = {command}\n{}\n",
                ports.join(","),
                more.join("\n")
            )
        });
    let pieces = prop_oneof![3 => door, 1 => line().prop_map(|line| line + "\n")];
    prop::collection::vec(pieces, 0..5).prop_map(|pieces| pieces.concat())
}

/// Mostly one that is known.
fn any_command() -> impl Strategy<Value = &'static (&'static str, Does)> {
    let known: Vec<_> = COMMANDS.iter().filter(|(_, does)| *does != Does::Unknown).collect();
    prop_oneof![3 => select(known), 1 => select(COMMANDS.iter().collect::<Vec<_>>())]
}

/// The test's own reading of a line: what is left of it, without comments.
fn content(line: &str) -> Option<&str> {
    let line = line.split('\0').next().unwrap().trim();
    (!line.is_empty() && !line.starts_with('#')).then_some(line)
}

fn steps(text: &str) -> Vec<Step> {
    let step = |word: &str| {
        let (port, protocol) = word.split_once(':').unwrap_or((word, "tcp"));
        let protocol = if protocol.trim().eq_ignore_ascii_case("udp") {
            Protocol::Udp
        } else {
            Protocol::Tcp
        };
        Step {
            protocol,
            port: port.trim().parse().unwrap_or(0),
        }
    };
    text.split(',').map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_sections_that_can_be_read(text in prop::collection::vec(any::<u8>(), 0..400), gate in "[a-z]{1,8}|\\PC{0,6}") {
        let imported = import(&text, &gate);
        let sections = well_formed(&imported);
        prop_assert!(sections == 0 || gate.bytes().all(|byte| byte.is_ascii_lowercase()));
    }

    #[test]
    fn names_bring_nothing_else_in(name in "(\\PC|['\"\\\\\n#])*", command in "(\\PC|['\"\\\\;&])*") {
        let text = format!("[{name}]\nsequence = 1,2\ncommand = iptables -I INPUT -s %IP% -p tcp --dport 22 -j ACCEPT\n[{name}]\nsequence = 3,4\ncommand = {command}\n");
        let imported = import(text.as_bytes(), "ssh");
        prop_assert_eq!(well_formed(&imported), knocks(&imported).len());
    }

    /// Every line that says something is in the output or has a remark, and only doors that open the same are taken over.
    #[test]
    fn nothing_is_lost_silently(text in file()) {
        let imported = import(text.as_bytes(), "ssh");
        let knocks = knocks(&imported);
        prop_assert_eq!(well_formed(&imported), knocks.len());
        // The section that stands for the door the lines belong to, and whether as its closing sequence.
        let mut section: Option<(&Knock, bool)> = None;
        let mut told = false;
        for (number, line) in (1..).zip(text.lines()) {
            let remarks: Vec<_> = imported.remarks.iter().filter(|remark| remark.line == number).collect();
            let Some(line) = content(line) else { continue };
            if let Some(title) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let said = |words: &str| remarks.iter().find_map(|remark| Some(remark.message.split_once(words)?.1.split('\'').next()?.to_owned()));
                told = said("not taken over").is_some();
                let partner = said("is the closing sequence of '");
                let name = partner.clone().or(said("is called '")).unwrap_or(title.to_owned());
                section = knocks.iter().find(|knock| !told && title != "options" && knock.name == name).map(|knock| (knock, partner.is_some()));
                prop_assert!(section.is_some() || told || title == "options" || partner.is_some() || !remarks.is_empty(), "{}: {}", line, text);
                told |= partner.is_some() && section.is_none();
                continue;
            }
            if told || !remarks.is_empty() {
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let Some((knock, closes)) = section else {
                prop_assert!(false, "line {} has neither a section nor a remark: {}\n{}", number, text, shown(&imported));
                return Ok(());
            };
            match key.trim().to_uppercase().as_str() {
                "SEQUENCE" => prop_assert_eq!(&steps(value), if closes { &knock.close } else { &knock.open }),
                "SEQ_TIMEOUT" | "TIMEOUT" => prop_assert_eq!(value.trim().parse::<u32>(), Ok(knock.timeout)),
                "CMD_TIMEOUT" => prop_assert_eq!(value.trim().parse::<u32>(), Ok(knock.seconds)),
                "TCPFLAGS" => prop_assert!(["syn", "SYN,!ACK", "!ack", "!fin"].contains(&value.trim()), "{}", line),
                _ => prop_assert!(false, "line {} is lost: {}\n{}", number, line, shown(&imported)),
            }
        }
    }

    /// The gate guards one thing: whatever else a door opens must not become a knock for it. A closing door never opens.
    #[test]
    fn doors_that_are_taken_over_open_the_same(doors in prop::collection::vec((any_command(), prop::bool::weighted(0.8)), 1..6)) {
        let text: String = (0..).zip(&doors).map(|(number, ((command, _), syn))| {
            let flags = if *syn { "syn" } else { "syn,ack" };
            format!("[d{number}]\nsequence = 1{number},2{number}\ntcpflags = {flags}\ncommand = {command}\n")
        }).collect();
        let imported = import(text.as_bytes(), "ssh");
        let number = |name: &str| name.strip_prefix('d').unwrap().parse::<usize>().unwrap();
        let mut ports: Vec<u16> = Vec::new();
        for knock in knocks(&imported) {
            let ((command, does), syn) = doors[number(&knock.name)];
            prop_assert!(syn, "{}", text);
            let Does::Opens(port) = does else {
                prop_assert!(false, "{} opens\n{}", command, text);
                return Ok(());
            };
            ports.push(*port);
            if let [first, _] = knock.close.as_slice() {
                prop_assert_eq!(doors[usize::from(first.port - 10)].0.1, Does::Closes(*port));
            }
        }
        ports.dedup();
        prop_assert!(ports.len() <= 1, "{:?}\n{}", ports, text);
        let expected = doors.iter().any(|((_, does), syn)| *syn && matches!(does, Does::Opens(_)));
        prop_assert_eq!(!ports.is_empty(), expected);
    }
}

/// What knockd's own reader says of a file (it is started for an interface that is not there, so that it reads, and ends).
fn knockd(text: &str) -> Result<Vec<(String, Vec<Step>, i64)>, String> {
    let scratch = Scratch::new("knockd");
    let output = Command::new("knockd")
        .args(["-D", "-i", "lanward-none", "-c"])
        .arg(scratch.write("knockd.conf", text))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    if !complaint.contains("lanward-none") {
        return Err(complaint);
    }
    let mut doors: Vec<(String, Vec<Step>, i64)> = Vec::new();
    for line in said.lines() {
        if let Some(name) = line
            .strip_prefix("config: new section: '")
            .and_then(|line| line.strip_suffix('\''))
        {
            if name != "options" {
                doors.push((name.to_owned(), Vec::new(), 25));
            }
        } else if let Some((_, value)) = line.split_once(": sequence: ") {
            doors.last_mut().unwrap().1 = steps(value);
        } else if let Some((_, value)) = line.split_once(": seq_timeout: ") {
            doors.last_mut().unwrap().2 = value.parse().unwrap();
        }
    }
    Ok(doors)
}

fn is_there(tool: &str) -> bool {
    let found = Command::new(tool).arg("-V").output().is_ok();
    if !found {
        report_line::skip(&report_line::this_test(), &format!("no {tool}"));
    }
    found
}

/// knockd reads the same doors, sequences and times. Where it refuses a file, something is said to be lost.
#[test]
fn knockd_itself_reads_the_same() {
    if !is_there("knockd") {
        return;
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(600)
    });
    let counts = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let generated =
        prop_oneof![3 => file(), 1 => prop::collection::vec(line(), 1..6).prop_map(|lines| lines.join("\n"))];
    let result = runner.run(&generated, |text| {
        let imported = import(text.as_bytes(), "ssh");
        let knocks = knocks(&imported);
        let doors = match knockd(&text) {
            Ok(doors) => doors,
            Err(complaint) => {
                counts.1.set(counts.1.get() + 1);
                prop_assert!(
                    imported.remarks.iter().any(|remark| remark.lost),
                    "{}: {}",
                    complaint,
                    text
                );
                return Ok(());
            }
        };
        for knock in &knocks {
            counts.0.set(counts.0.get() + 1);
            let time = |timeout: i64| timeout.min(3600) == i64::from(knock.timeout);
            let same = doors
                .iter()
                .any(|(_, steps, timeout)| *steps == knock.open && time(*timeout));
            prop_assert!(same, "{:?} of {:?}\n{}", knock, doors, text);
            prop_assert!(knock.close.is_empty() || doors.iter().any(|(_, steps, _)| *steps == knock.close));
        }
        Ok(())
    });
    result.unwrap();
    let (read, refused) = (counts.0.get(), counts.1.get());
    assert!(
        read > 30 && refused > 30,
        "too few of a kind: {read} read, {refused} refused"
    );
}
