//! Cause and effect in one file: configuration and facts in, expected script and problems out.
//!
//! `tests/golden/SYSTEM/NN_case` holds blocks, each begun by a line `== NAME ==`. `lanward` is the configuration; `firewall`, `network`, `netifd` (JSON) and
//! `now` (seconds since 1970), `time zone` are given where they differ from the recorded router in `tests/openwrt/`; `problems`, `warnings` and
//! `script` are expected. The ledger, which is on by default, counts only in cases with a section of it. `LANWARD_GOLDEN=rewrite cargo test --test golden` writes what is, for review as a diff. Each case is also applied, by
//! the real nft and over netlink.

#![allow(clippy::unwrap_used)]

use lanward::system::nftables::{Nftables, Verdict};
use lanward::{config, network, nft, policy, ruleset, uci};
use lanward_rig::report_line;
use lanward_rig::scratch::Scratch;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Wednesday 2026-11-25 12:00:00 UTC.
const NOW: u64 = 1_795_608_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn blocks(text: &str) -> BTreeMap<String, String> {
    let mut blocks: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("== ").and_then(|line| line.strip_suffix(" ==")) {
            name = heading.to_string();
            blocks.entry(name.clone()).or_default();
        } else {
            let block = blocks.entry(name.clone()).or_default();
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// What a case leads to.
struct Outcome {
    table: nft::Table,
    problems: Vec<config::Problem>,
    warnings: Vec<String>,
}

fn outcome(given: &BTreeMap<String, String>) -> Outcome {
    let recorded = |name: &str| fs::read_to_string(root().join("openwrt").join(name)).unwrap();
    let package = |name: &str| {
        let text = given
            .get(name)
            .cloned()
            .unwrap_or_else(|| recorded(&format!("{name}.uci")));
        uci::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error:?}"))
    };
    let netifd = given
        .get("netifd")
        .cloned()
        .unwrap_or_else(|| recorded("network.interface.dump.json"));
    let netifd = serde_json::from_str(&netifd).unwrap_or_else(|error| panic!("netifd: {error}"));
    let (firewall, network_file) = (package("firewall"), package("network"));

    let (mut config, mut problems) = config::read_text(given.get("lanward").map(String::as_bytes));
    let names_ledger = given.get("lanward").is_some_and(|text| text.contains("config ledger"));
    config.ledger.enabled &= names_ledger;
    let network = network::read(&network::Sources {
        firewall: Some(&firewall),
        network: Some(&network_file),
        netifd: Some(&netifd),
        links: &network::Links::default(),
    });
    let now = given.get("now").map_or(NOW, |now| now.trim().parse().unwrap());
    let zone = given.get("time zone").map(|zone| zone.trim()).unwrap_or_default();
    let compiled = policy::compile(&config, &network, zone, now);
    problems.extend(compiled.problems);
    let on = config.lan_only.enabled || config.lan_only.observe;
    Outcome {
        table: ruleset::lay_out(&compiled.policy, on),
        problems,
        warnings: compiled.warnings,
    }
}

/// The three expected blocks, as they are.
fn results(given: &BTreeMap<String, String>) -> BTreeMap<&'static str, String> {
    let outcome = outcome(given);
    let mut listed = String::new();
    for problem in outcome.problems {
        let goes_on = if problem.restricts { "" } else { " [goes on]" };
        let _ = writeln!(listed, "{}: {}{goes_on}", problem.option, problem.message);
    }
    let warnings = outcome.warnings.iter().map(|warning| format!("{warning}\n")).collect();
    BTreeMap::from([
        ("problems", listed),
        ("script", nft::text::script(&outcome.table)),
        ("warnings", warnings),
    ])
}

fn cases() -> Vec<PathBuf> {
    let mut cases = Vec::new();
    for system in fs::read_dir(root().join("golden")).unwrap() {
        cases.extend(
            fs::read_dir(system.unwrap().path())
                .unwrap()
                .map(|case| case.unwrap().path()),
        );
    }
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn every_case_gives_what_it_expects() {
    let rewrite = std::env::var_os("LANWARD_GOLDEN").is_some_and(|value| value == "rewrite");
    let mut wrong = Vec::new();
    for path in cases() {
        let text = fs::read_to_string(&path).unwrap();
        let given = blocks(&text);
        let results = results(&given);
        let expected: BTreeMap<&str, String> = results
            .keys()
            .map(|name| (*name, given.get(*name).cloned().unwrap_or_default()))
            .collect();
        if results == expected {
            continue;
        }
        if rewrite {
            let mut new = text.split("== problems ==").next().unwrap().to_string();
            for name in ["problems", "warnings", "script"] {
                let _ = write!(new, "== {name} ==\n{}", results[name]);
            }
            fs::write(&path, new).unwrap();
            continue;
        }
        for (name, result) in &results {
            if expected[name] != *result {
                wrong.push(format!(
                    "{}: {name}\n--- expected\n{}--- is\n{result}",
                    path.display(),
                    expected[name]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the real nft can be asked, in a network namespace of its own. If not, says so.
fn nft_is_there() -> bool {
    let works = Command::new("unshare")
        .args(["-n", "nft", "list", "ruleset"])
        .stderr(Stdio::null())
        .status();
    if works.is_ok_and(|status| status.success()) {
        return true;
    }
    report_line::skip("goldens beside the real nft", "nft or root is missing");
    false
}

fn nft_output(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).env("TZ", "UTC").output().unwrap();
    assert!(
        output.status.success(),
        "nft {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The table as nft lists it, after `apply` in a new network namespace.
fn listed_after(apply: impl FnOnce() + Send + 'static) -> String {
    let listed = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        apply();
        nft_output(&["list", "table", "inet", ruleset::TABLE])
    });
    listed.join().unwrap()
}

/// Each case's script by `nft -c` and `nft -f`, and its messages over netlink: the kernel lists the same, whichever way it came,
/// and whichever way it came, netlink finds that it is what was meant.
#[test]
fn every_table_is_the_same_as_script_and_over_netlink() {
    if !nft_is_there() {
        return;
    }
    let scratch = Scratch::new("golden");
    for path in cases() {
        let table = outcome(&blocks(&fs::read_to_string(&path).unwrap())).table;
        let script = scratch.write("script", nft::text::script(&table));
        let file = script.to_str().unwrap().to_string();
        let meant = table.clone();
        let by_script = listed_after(move || {
            nft_output(&["-c", "-f", &file]);
            nft_output(&["-f", &file]);
            assert_eq!(Nftables::open().unwrap().verify(&meant).unwrap(), Verdict::Same);
        });
        let by_netlink = listed_after(move || {
            let mut nftables = Nftables::open().unwrap();
            nftables.apply(&table).unwrap();
            assert_eq!(nftables.verify(&table).unwrap(), Verdict::Same);
        });
        assert_eq!(by_script, by_netlink, "{}", path.display());
        assert!(by_script.contains("chain lan_only"), "{by_script}");
    }
}
