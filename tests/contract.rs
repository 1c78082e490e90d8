//! What has to agree: the option table, the shipped configuration, the documents, the bus.

use lanward::config;
use lanward::report::METHODS;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn both_readmes_name_every_option_and_every_method() {
    for readme in ["README.md", "README.ja.md"] {
        let text = file(readme);
        for option in config::OPTIONS {
            assert!(
                text.contains(&format!("`{}`", option.name)),
                "{readme} does not name {}.{}",
                option.system.word(),
                option.name
            );
        }
        for method in METHODS {
            assert!(
                text.contains(&format!("`{}`", method.name)),
                "{readme} does not name the method {}",
                method.name
            );
        }
    }
}

#[test]
fn the_shipped_configuration_is_the_default() {
    let (shipped, problems) = config::read_text(Some(file("files/etc/config/lanward").as_bytes()));
    assert_eq!(problems, []);
    assert_eq!(shipped, config::read_text(None).0);
}

#[test]
fn the_readmes_begin_with_the_two_commands() {
    for readme in ["README.md", "README.ja.md"] {
        let text = file(readme);
        let head: String = text.lines().take(40).collect();
        assert!(head.contains("make demo") && head.contains("make test"), "{readme}");
    }
}

/// What subscribers are told of, and with which fields.
const NOTIFICATIONS: [(&str, &str); 13] = [
    ("lan_only", "enabled persist flows_cut"),
    ("pause", "seconds"),
    ("gate.admit", "gate address why seconds"),
    ("gate.remove", "gate address why removed"),
    ("knock.stage", "knock gate sequence address stage of"),
    ("knock.open", "knock gate sequence address seconds"),
    ("spa.accept", "spa gate address seconds user"),
    ("spa.reject", "spa source why"),
    ("ledger.outlier", "date attempts usual"),
    ("relay", "relay state error"),
    ("table.lost", "reason"),
    ("table.restored", ""),
    ("problem", "option message"),
];

#[test]
fn both_readmes_name_every_command_and_every_notification() {
    let help = Command::new(env!("CARGO_BIN_EXE_lanward")).arg("--help").output();
    let help = String::from_utf8(help.expect("it can be started").stdout).expect("text");
    let commands: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| {
            word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !word.is_empty()
                && !word.starts_with('-')
        })
        .collect();
    assert!(commands.contains("spa") && commands.len() >= 12, "{commands:?}");
    for readme in ["README.md", "README.ja.md"] {
        let text = file(readme);
        for command in &commands {
            assert!(
                text.contains(&format!("`lanward {command}")),
                "{readme} does not name the command {command}"
            );
        }
        let told = text
            .split("\n\n")
            .find(|paragraph| paragraph.contains("`gate.admit`"))
            .unwrap_or_else(|| panic!("{readme} names no notifications"));
        for (name, fields) in NOTIFICATIONS {
            let (_, behind) = told
                .split_once(&format!("`{name}`"))
                .unwrap_or_else(|| panic!("{readme} does not name the notification {name}"));
            assert_eq!(fields_of(behind), fields, "{readme}: {name}");
        }
    }
}

/// The fields of `{…}` at the beginning of a text, without what is said of them in brackets.
fn fields_of(text: &str) -> String {
    let Some((inside, _)) = text.strip_prefix(" {").and_then(|text| text.split_once('}')) else {
        return String::new();
    };
    let mut depth = 0;
    let bare: String = inside
        .chars()
        .filter(|character| {
            match character {
                '(' | '（' => depth += 1,
                ')' | '）' => depth -= 1,
                _ => {}
            }
            depth == 0
        })
        .collect();
    let fields: Vec<&str> = bare.split('`').skip(1).step_by(2).collect();
    fields.join(" ")
}
