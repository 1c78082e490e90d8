//! What stands beside the gates: rules of the firewall that let everybody in, and what the kernel does not keep.

use super::{listed, quoted, ways_in, Check, Facts, FW4_SERVICE};
use crate::config::{Gate, Service, Spa, Witness};
use crate::gate::{fw4_rules, FW4_RULE_NAME};
use crate::gather::Gather;
use crate::gather::GatherInto;
use crate::network::Device;
use crate::nft::netlink::neighbours::{Does, Step};
use crate::policy;
use crate::profiles::Protocol;
use crate::ruleset::{BEHIND_PRIORITY, PREROUTING_PRIORITY};
use crate::sorted::Set;
use serde_json::Value;

const NAME: &str = "gate";
/// Our side's SYN-ACK, repeated as often as a kernel does, is less.
const BELIEVABLE: u32 = 1000;

pub(super) fn gates(facts: &Facts) -> Vec<Check> {
    let enabled: Vec<&Gate> = facts.config.gates.iter().filter(|gate| gate.enabled).gathered();
    if enabled.is_empty() {
        return vec![Check::fine(
            NAME,
            "No gate is enabled: ports are as open or shut as the firewall has them.",
        )];
    }
    let mut checks: Vec<Check> = policy::gate_doors(&facts.config, &facts.network)
        .into_iter()
        .map(|door| Check::error(NAME, door))
        .gathered();
    checks.gather(
        policy::gate_surprises(&facts.config)
            .into_iter()
            .map(|text| Check::warning(NAME, text)),
    );
    checks.extend(unpublished(facts));
    checks.extend(marks(facts));
    checks.extend(leases(facts, &enabled));
    checks.extend(accounts(facts, &enabled));
    checks.extend(windows(facts, &enabled));
    checks.extend(deaf(facts));
    if checks.is_empty() {
        let names: Vec<String> = enabled.iter().map(|gate| gate.name.clone()).gathered();
        checks.push(Check::fine(
            NAME,
            format!(
                "Nothing that this router's configuration says lets anybody past: {}.",
                listed(&names)
            ),
        ));
    }
    checks
}

/// A gate only marks; without fw4's rules it lets in nobody.
fn unpublished(facts: &Facts) -> Vec<Check> {
    let Some(comments) = &facts.fw4_gates else {
        return Vec::new();
    };
    let gates = policy::compile(&facts.config, &facts.network, "", facts.clock)
        .policy
        .gates;
    let rules = fw4_rules(&gates, gates.lan.as_deref());
    // A gate with a mistake has none, and that mistake is named.
    let rules = rules["firewall"].as_array().into_iter().flatten().enumerate();
    let is_there = |(index, rule): &(usize, &Value)| {
        let number = format!("{} {index}", rule["type"].as_str().unwrap_or_default());
        let name = rule["name"].as_str().unwrap_or_default();
        comments
            .iter()
            .any(|comment| published(comment) == Some(&number) || comment.strip_prefix("!fw4: ") == Some(name))
    };
    let mut missing: Vec<&str> = rules
        .filter(|rule| !is_there(rule))
        .filter_map(|(_, rule)| rule["name"].as_str()?.strip_prefix(FW4_RULE_NAME))
        .gathered();
    missing.dedup();
    let complaint = |gate: &str| {
        Check::error(
            NAME,
            format!(
                "fw4 lacks a rule that accepts whom gate '{gate}' lets in: nobody gets in there. The init script hands it over: /etc/init.d/lanward start, \
                 then /etc/init.d/firewall reload. If it is still missing, 'lanward fw4-rules' and 'fw4 check' say why."
            ),
        )
    };
    missing.into_iter().map(complaint).gathered()
}

/// Type and number of a rule that fw4 has from our init script: `rule 0`.
fn published(comment: &str) -> Option<&str> {
    let rest = comment.strip_prefix(FW4_SERVICE)?;
    let rest = match rest.strip_prefix('[') {
        Some(instance) => instance.split_once(']')?.1,
        None => rest,
    };
    rest.strip_prefix(' ')
}

/// Others' rules between ours, that gives the mark, and fw4's, that asks for it.
fn marks(facts: &Facts) -> Vec<Check> {
    let mark = facts.config.mark;
    let (mut sets, mut clears, mut used) = (Set::new(), Set::new(), 0);
    // A chain's rules come one after the other.
    let mut judged: Option<(&str, &Step, bool)> = None;
    for (family, step) in &facts.steps {
        let Does::Mark { keeps, may_set } = step.does else {
            continue;
        };
        let writes = !keeps | may_set;
        // Who writes all of it leaves no bit free; but only where we are.
        if writes != u32::MAX {
            used |= writes;
        }
        if writes & mark == 0 {
            continue;
        }
        let is_same =
            |other: &Step| (&other.table, &other.chain, &other.device) == (&step.table, &step.chain, &step.device);
        let is_it = match judged {
            Some((of, other, is_it)) if of == *family && is_same(other) => is_it,
            _ => is_between(facts, family, step),
        };
        judged = Some((family, step, is_it));
        if is_it {
            used |= writes;
            let found = if may_set & mark == 0 { &mut clears } else { &mut sets };
            found.insert(quoted(&format!("{family} {} {}", step.table, step.chain)));
        }
    }
    let remedy = match 31_u32.checked_sub((!used).leading_zeros()) {
        Some(bit) => format!("Set lanward.mark to {:#x}, which they leave alone.", 1_u32 << bit),
        None => "They write every bit: let them write their own only, by a mask.".to_owned(),
    };
    let chains = |chains: Set<String>| listed(&chains.into_iter().gathered());
    let mut checks = Vec::new();
    if !sets.is_empty() {
        checks.push(Check::error(
            NAME,
            format!("Rules of others may set the mark {mark:#x}, by which fw4 knows whom a gate lets in: {}. Whoever gets it so is let in. {remedy}", chains(sets)),
        ));
    }
    if !clears.is_empty() {
        checks.push(Check::warning(
            NAME,
            format!("Rules of others may clear the mark {mark:#x}, by which fw4 knows whom a gate lets in: {}. Then nobody gets in. {remedy}", chains(clears)),
        ));
    }
    checks
}

/// Whether a packet from the WAN can come to a chain behind our mark and before our last look at it. A chain that nothing is seen to lead to may be called
/// from anywhere, by a map.
fn is_between(facts: &Facts, family: &str, step: &Step) -> bool {
    let mut reached: Vec<&str> = Vec::new();
    let mut left = vec![step];
    while let Some(step) = left.pop() {
        if !comes_from_wan(facts, step) || reached.contains(&step.chain.as_str()) {
            continue;
        }
        reached.push(&step.chain);
        let is_it = |chain: &&super::BaseChain| {
            chain.family == family && chain.table == step.table && chain.chain == step.chain
        };
        if let Some(base) = facts.chains.iter().find(is_it) {
            let is_between = match base.hook.as_str() {
                "prerouting" => base.priority >= PREROUTING_PRIORITY,
                "input" | "forward" => base.priority <= BEHIND_PRIORITY,
                _ => false,
            };
            if is_between {
                return true;
            }
            continue;
        }
        let before = left.len();
        for (other, from) in &facts.steps {
            let leads_here = matches!(&from.does, Does::Jump(to) if *to == step.chain);
            if leads_here && *other == family && from.table == step.table {
                left.push(from);
            }
        }
        if left.len() == before {
            return true;
        }
    }
    false
}

fn comes_from_wan(facts: &Facts, step: &Step) -> bool {
    let Some(begin) = &step.device else { return true };
    for zone in &facts.config.lan_only.dest_zones {
        for device in facts.network.zones.get(zone).into_iter().flat_map(|zone| &zone.devices) {
            let (Device::Named(name) | Device::BeginsWith(name)) = device;
            let is_any = matches!(device, Device::BeginsWith(_)) && begin.starts_with(name.as_str());
            if is_any || name.starts_with(begin.as_str()) {
                return true;
            }
        }
    }
    false
}

/// What UPnP has opened asks no gate, and what it has taken a gate's port for goes elsewhere.
fn leases(facts: &Facts, enabled: &[&Gate]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (way, port, text) in ways_in::leases(facts) {
        if !way.protocols.contains(&Protocol::Tcp) {
            continue;
        }
        let end = way.address.zip(way.ports.map(|(port, _)| port));
        for gate in enabled {
            let name = &gate.name;
            let has = |holds: &dyn Fn(&Service) -> bool| gate.services.iter().any(holds);
            // Whoever connects to what stands in a witness's place is listed.
            let mut witnesses = facts.config.witnesses.iter();
            let proves = witnesses.any(|witness| witness.gate == *name && witness.port == port);
            if has(&|service| service.port == port) {
                checks.push(Check::warning(
                    NAME,
                    format!("UPnP has taken a port of gate '{name}': {text}. Whoever is listed gets there."),
                ));
            } else if proves || has(&|service| end.is_some() && service.forward == end) {
                checks.push(Check::error(NAME, format!("UPnP leads past gate '{name}': {text}. Whoever comes there is let in. Deny that in /etc/config/upnpd.")));
            }
        }
    }
    checks
}

/// Somebody who sends by another's address does not see our SYN-ACK and has to guess what the third segment must say. A conntrack that does not
/// look takes any guess. Bytes of ours that the other end has acknowledged cannot be guessed so easily: without them our side sends none.
fn windows(facts: &Facts, enabled: &[&Gate]) -> Vec<Check> {
    if facts.windows != Some(false) {
        return Vec::new();
    }
    let believing = witnesses(facts, enabled).filter(|witness| witness.min_bytes < BELIEVABLE);
    let warning = |name: &str| {
        Check::warning(
            NAME,
            format!(
                "This kernel does not check TCP windows (nf_conntrack_tcp_be_liberal or nf_conntrack_tcp_no_window_check), so that whoever forges \
                 addresses can fill the list through witness '{name}': set its min_bytes to {BELIEVABLE} or more."
            ),
        )
    };
    believing.map(|witness| warning(&witness.name)).gathered()
}

/// Bytes are asked of conntrack, which counts none unless it is told to. (OpenWrt tells it.)
fn accounts(facts: &Facts, enabled: &[&Gate]) -> Vec<Check> {
    if facts.accounting != Some(false) {
        return Vec::new();
    }
    let asking = witnesses(facts, enabled).filter(|witness| witness.min_bytes > 0);
    let complaint = |name: &str| {
        Check::error(
            NAME,
            format!("witness '{name}' asks for min_bytes, and conntrack counts none (net.netfilter.nf_conntrack_acct is 0): it proves nobody."),
        )
    };
    asking.map(|witness| complaint(&witness.name)).gathered()
}

/// The keys of the gates that are on.
pub(super) fn keys(facts: &Facts) -> impl Iterator<Item = &Spa> {
    let is_on = |name: &String| facts.config.gates.iter().any(|gate| gate.enabled && gate.name == *name);
    facts.config.spas.iter().filter(move |spa| is_on(&spa.gate))
}

/// An authenticated packet reaches the daemon as a copy, and in no other way. What else copies tell is news.
fn deaf(facts: &Facts) -> Vec<Check> {
    let Some(why) = &facts.no_copies else { return Vec::new() };
    let complaint = |spa: &Spa| Check::error(NAME, format!("spa '{}': its packets are never seen: {why}", spa.name));
    let mut checks: Vec<Check> = keys(facts).map(complaint).gathered();
    if checks.is_empty() {
        checks.push(Check::warning(NAME, why));
    }
    checks
}

fn witnesses<'a>(facts: &'a Facts, enabled: &'a [&Gate]) -> impl Iterator<Item = &'a Witness> {
    let is_asked = |gate: &String| enabled.iter().any(|enabled| enabled.name == *gate);
    let witnesses = facts.config.witnesses.iter();
    witnesses.filter(move |witness| is_asked(&witness.gate))
}
