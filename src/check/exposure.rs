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
    let unused = facts.links_were_read() && !routed;
    // Without IPv6 here a host's IPv4 is all that it can leave by; its IPv6 never is.
    let named = facts.config.lan_only.hosts.iter().filter_map(|host| match host {
        Host::Address(address) if address.is_ipv6() || !unused => Some(*address),
        Host::Address(_) | Host::Mac(_) => None,
    });
    let checks: Vec<Check> = named.filter_map(|address| uncovered(facts, address)).gathered();
    if !checks.is_empty() {
        return checks;
    }
    if unused {
        return vec![Check::fine(
            "ipv6",
            "There is no IPv6 default route. Every rule holds for IPv6 as well, should one come.",
        )];
    }
    if !routed {
        return vec![Check::note(
            "ipv6",
            "Routes were not read, so it is not known whether IPv6 is in use. Every rule holds for both families.",
        )];
    }
    vec![Check::fine(
        "ipv6",
        "IPv6 is in use and covered: every rule holds for both families.",
    )]
}

/// A host named by one of its addresses, while its traffic from the others goes where it likes. An IPv4 address leaves all of IPv6 open, an IPv6 address
/// IPv4 and the temporary addresses that hosts make themselves (RFC 8981).
fn uncovered(facts: &Facts, address: IpAddr) -> Option<Check> {
    let hosts = &facts.config.lan_only.hosts;
    let mac = mac_of(facts, address);
    if mac.is_some_and(|mac| hosts.contains(&Host::Mac(mac))) {
        return None;
    }
    let counts = |one: &IpAddr| match one {
        IpAddr::V4(_) => address.is_ipv6(),
        IpAddr::V6(six) => *one != address && !six.is_unicast_link_local() && !six.is_multicast(),
    };
    let others: Vec<IpAddr> = facts
        .links
        .neighbours
        .iter()
        .filter(|(_, one)| Some(*one) == mac)
        .map(|(one, _)| *one)
        .filter(counts)
        .gathered();
    let open: Vec<String> = others
        .iter()
        .filter(|one| !hosts.contains(&Host::Address(**one)))
        .map(ToString::to_string)
        .gathered();
    // What was not seen of the other family may be there all the same.
    let other_family = others.iter().any(|one| one.is_ipv4() != address.is_ipv4());
    if other_family && open.is_empty() {
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
    let message = if address.is_ipv6() {
        format!("lanward.lan_only.host: {address} names one IPv6 address of the host only; its IPv4 and its other IPv6 addresses{seen} are not covered. {remedy}")
    } else {
        let used = if facts.links_were_read() {
            "is in use"
        } else {
            "may be in use"
        };
        format!("lanward.lan_only.host: {address} names the host's IPv4 only; its IPv6 addresses{seen} are not covered, and IPv6 {used} here. {remedy}")
    };
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
