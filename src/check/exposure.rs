//! What the mode does not cover: IPv6 beside hosts named by IPv4, full-cone NAT, what the level leaves open.

use super::{is_on, listed, quoted, Check, Facts};
use crate::config::{Host, Level};
use crate::gather::Gather;
use crate::profiles::{level_name, Profiles};
use std::net::IpAddr;

pub(super) fn ipv6(facts: &Facts) -> Vec<Check> {
    let routed = facts
        .links
        .routes
        .iter()
        .any(|route| route.dest.prefix == 0 && route.dest.address.is_ipv6());
    if facts.links_were_read() && !routed {
        return vec![Check::fine(
            "ipv6",
            "There is no IPv6 default route. Every rule holds for IPv6 as well, should one come.",
        )];
    }
    let named = facts.config.lan_only.hosts.iter().filter_map(|host| match host {
        Host::Address(address) if address.is_ipv4() => Some(*address),
        Host::Address(_) | Host::Mac(_) => None,
    });
    let checks: Vec<Check> = named.filter_map(|address| uncovered(facts, address)).gathered();
    if checks.is_empty() && !routed {
        return vec![Check::note(
            "ipv6",
            "Routes were not read, so it is not known whether IPv6 is in use. Every rule holds for both families.",
        )];
    }
    if checks.is_empty() {
        return vec![Check::fine(
            "ipv6",
            "IPv6 is in use and covered: every rule holds for both families.",
        )];
    }
    checks
}

/// A host named by its IPv4 address alone, while its IPv6 traffic goes where it likes.
fn uncovered(facts: &Facts, address: IpAddr) -> Option<Check> {
    let hosts = &facts.config.lan_only.hosts;
    let mac = mac_of(facts, address);
    if mac.is_some_and(|mac| hosts.contains(&Host::Mac(mac))) {
        return None;
    }
    let global = |one: &IpAddr| matches!(one, IpAddr::V6(six) if !six.is_unicast_link_local() && !six.is_multicast());
    let others: Vec<IpAddr> = facts
        .links
        .neighbours
        .iter()
        .filter(|(_, one)| Some(*one) == mac)
        .map(|(one, _)| *one)
        .filter(global)
        .gathered();
    let open: Vec<String> = others
        .iter()
        .filter(|one| !hosts.contains(&Host::Address(**one)))
        .map(ToString::to_string)
        .gathered();
    if !others.is_empty() && open.is_empty() {
        return None;
    }
    let seen = if open.is_empty() {
        String::new()
    } else {
        format!(" (now {})", listed(&open))
    };
    let remedy = match mac {
        Some(mac) => format!("Name it by its MAC instead: list host '{}'.", mac_text(mac)),
        None => "Name it by its MAC instead, which covers all its addresses.".to_owned(),
    };
    let used = if facts.links_were_read() {
        "is in use"
    } else {
        "may be in use"
    };
    let message = format!(
        "lanward.lan_only.host: {address} names the host's IPv4 only; its IPv6 addresses{seen} are not covered, and IPv6 {used} here. {remedy}"
    );
    Some(Check::warning("ipv6", message))
}

pub(super) fn full_cone(facts: &Facts) -> Vec<Check> {
    let Some(firewall) = &facts.firewall else {
        return vec![Check::note(
            "full-cone",
            "/etc/config/firewall cannot be read, so it is not known whether NAT is full cone.",
        )];
    };
    let sections = firewall.of_kind("defaults").chain(firewall.of_kind("zone"));
    // Forks differ: fullcone, fullcone4, fullcone6, brcmfullcone; on is 1, or 2 for a chip's own.
    let on = sections.flat_map(|section| section.options.iter().map(move |(name, _)| (section, name)));
    let on = on.filter(|(section, name)| {
        let value = section.option(name);
        name.contains("fullcone") && (is_on(value) || value == Some("2"))
    });
    let places: Vec<String> = on
        .map(|(section, name)| format!("firewall.{}.{}", section.label(), name))
        .gathered();
    if places.is_empty() {
        return vec![Check::fine(
            "full-cone",
            "NAT is not full cone, as far as the configuration says.",
        )];
    }
    let meaning = format!("Full-cone NAT is on ({}): once a host has sent a packet, anybody can answer it. Stock OpenWrt does not have this.", listed(&places));
    let check = if facts.config.lan_only.mirror {
        Check::warning("full-cone", format!("{meaning} lan_only.mirror drops such newcomers when their source port is in the range. Switch it off unless a game needs it."))
    } else {
        Check::error("full-cone", format!("{meaning} lan_only.mirror is off, so nothing drops such newcomers. Switch mirror on, or full cone off."))
    };
    vec![check]
}

pub(super) fn profiles(facts: &Facts) -> Vec<Check> {
    let lan_only = &facts.config.lan_only;
    let profiles = match &facts.profiles {
        Ok(profiles) => profiles,
        Err(why) if lan_only.profiles.is_empty() => {
            return vec![Check::note(
                "profiles",
                format!("The profile file cannot be used: {}.", quoted(why)),
            )]
        }
        Err(why) => {
            let message = format!(
                "The profile file cannot be used, so nothing can be said of lanward.lan_only.profile: {}.",
                quoted(why)
            );
            return vec![Check::warning("profiles", message)];
        }
    };
    let mut checks: Vec<Check> = profiles
        .warnings(lan_only.level, &lan_only.profiles)
        .into_iter()
        .map(|text| Check::warning("profiles", text))
        .gathered();
    checks.push(level(profiles, lan_only.level));
    checks
}

/// How tight the level was found to be.
fn level(profiles: &Profiles, level: Level) -> Check {
    let Some(note) = profiles.level(level) else {
        return Check::fine(
            "level",
            "lanward.lan_only.level is custom: how tight these ports are was not measured.",
        );
    };
    let name = level_name(level);
    let measured = match note.measured {
        Some(tally) => format!(
            "measured, {} of {} outsiders connected",
            tally.connected, tally.attempts
        ),
        None => "not measured".to_owned(),
    };
    Check::fine(
        "level",
        format!(
            "Level '{name}' ({}-{}): {measured}. It misses {}. It breaks {}.",
            note.ports.0, note.ports.1, note.misses.en, note.breaks.en
        ),
    )
}

pub(super) fn mac_of(facts: &Facts, address: IpAddr) -> Option<[u8; 6]> {
    facts
        .links
        .neighbours
        .iter()
        .find(|(one, _)| *one == address)
        .map(|(_, mac)| *mac)
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
