//! What stands beside the gates: rules of the firewall that let everybody in, and what the kernel does not keep.

use super::{Check, Facts};
use crate::config::Gate;
use crate::policy;

const NAME: &str = "gate";

pub(super) fn gates(facts: &Facts) -> Vec<Check> {
    let enabled: Vec<&Gate> = facts.config.gates.iter().filter(|gate| gate.enabled).collect();
    if enabled.is_empty() {
        return vec![Check::fine(
            NAME,
            "No gate is enabled: ports are as open or shut as the firewall has them.",
        )];
    }
    let mut checks: Vec<Check> = policy::gate_doors(&facts.config, &facts.network)
        .into_iter()
        .map(|door| Check::error(NAME, door))
        .collect();
    checks.extend(
        policy::gate_surprises(&facts.config)
            .into_iter()
            .map(|text| Check::warning(NAME, text)),
    );
    checks.extend(accounts(facts, &enabled));
    checks.extend(facts.no_copies.iter().map(|why| Check::warning(NAME, why)));
    if checks.is_empty() {
        let names: Vec<String> = enabled.iter().map(|gate| gate.name.clone()).collect();
        checks.push(Check::fine(
            NAME,
            format!(
                "Nothing that this router's configuration says lets anybody past: {}.",
                super::listed(&names)
            ),
        ));
    }
    checks
}

/// Bytes are asked of conntrack, which counts none unless it is told to. (OpenWrt tells it.)
fn accounts(facts: &Facts, enabled: &[&Gate]) -> Vec<Check> {
    if facts.accounting != Some(false) {
        return Vec::new();
    }
    let is_asked = |gate: &String| enabled.iter().any(|enabled| enabled.name == *gate);
    let asking = facts
        .config
        .witnesses
        .iter()
        .filter(|witness| witness.min_bytes > 0 && is_asked(&witness.gate));
    let complaint = |name: &str| {
        Check::error(
            NAME,
            format!("witness '{name}' asks for min_bytes, and conntrack counts none (net.netfilter.nf_conntrack_acct is 0): it proves nobody."),
        )
    };
    asking.map(|witness| complaint(&witness.name)).collect()
}
