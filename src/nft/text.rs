//! A [`Table`] as nft's text.
//!
//! [`list`] is for people and for comparison with `nft list table`; [`script`] is for `nft -f`. Names from outside (devices, comments) stand in
//! quotes, which nft's scanner ends at the next quote, with no way to escape one. [`Table::check`] refuses such names; should one come here
//! all the same, what could end the quotes is replaced, and the name matches nothing.

use super::{
    check, mask6, Base, Bits, Chain, Contents, Direction, Element, Family, Field, Hook, Kind, Many, Mark, Match,
    Operation, Range, Reject, Rule, Set, State, Statement, Table, Timeout, Value,
};
use crate::gather::Gather;
use crate::gather::GatherInto;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The table as `nft list table inet NAME` prints it, but for line breaks between elements, readings of counters, elements of lists, and
/// times, which nft prints as local dates: here they are seconds since 1970. Where nft merges two comparisons of neighbouring bytes, it lists
/// them side by side, wherever they stood. Versions differ in how they list TCP's flags (here as from 1.1 on) and a limit's burst of 5, which
/// those before 1.1 leave out.
#[must_use]
pub fn list(table: &Table) -> String {
    let mut out = format!("table inet {} {{\n", table.name);
    let mut blocks: Vec<String> = Vec::new();
    blocks.gather(
        table
            .counters
            .iter()
            .map(|name| format!("\tcounter {name} {{\n\t\tpackets 0 bytes 0\n\t}}\n")),
    );
    blocks.gather(
        table
            .sets
            .iter()
            .map(|set| set_block(set, &element_lines(set), Style::List)),
    );
    blocks.gather(table.chains.iter().map(|chain| {
        let rules: String = chain
            .rules
            .iter()
            .map(|rule| format!("\t\t{}\n", rule_text(rule, Style::List)))
            .collect();
        chain_block(chain, &base_line(chain, Style::List), &rules)
    }));
    out.push_str(&blocks.join("\n"));
    out.push_str("}\n");
    out
}

/// A script for `nft -f` that makes the kernel's table this one, in place and in one transaction: what is missing is created, rules are
/// replaced, sets of configuration emptied and filled again; lists keep their elements and remaining time, counters their readings.
///
/// It stands alone and can be included in another script (fw4's `ruleset-post`). What the table no longer has stays (a stale chain without
/// rules and a stale set do nothing; a stale base chain neither), and a set whose type changed makes nft refuse the script: a script
/// cannot ask what is there. [`netlink`](super::netlink) can.
#[must_use]
pub fn script(table: &Table) -> String {
    let name = &table.name;
    let mut out = format!("table inet {name} {{\n");
    for counter in &table.counters {
        let _ = writeln!(out, "\tcounter {counter} {{\n\t}}");
    }
    for set in &table.sets {
        out.push_str(&set_block(set, "", Style::Script));
    }
    for chain in &table.chains {
        out.push_str(&chain_block(chain, &base_line(chain, Style::Script), ""));
    }
    out.push_str("}\n\n");
    for set in table
        .sets
        .iter()
        .filter(|set| matches!(set.contents, Contents::Configuration(_)))
    {
        let _ = writeln!(out, "flush set inet {name} {}", set.name);
    }
    let _ = writeln!(out, "flush table inet {name}\n");
    for set in &table.sets {
        out.push_str(&add_elements(name, set));
    }
    let _ = writeln!(out, "table inet {name} {{");
    for chain in &table.chains {
        let rules: String = chain
            .rules
            .iter()
            .map(|rule| format!("\t\t{}\n", rule_text(rule, Style::Script)))
            .collect();
        out.push_str(&chain_block(chain, "", &rules));
    }
    out.push_str("}\n");
    out
}

/// Numbers where nft's reader would look a name up in a file that a router may not have (`/etc/protocols`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    List,
    Script,
}

fn set_block(set: &Set, elements: &str, style: Style) -> String {
    let mut out = format!("\tset {} {{\n", set.name);
    let kinds: Vec<&str> = set.key.iter().map(|kind| kind_name(*kind)).gathered();
    let how = if set.key.contains(&Kind::Time) {
        "typeof"
    } else {
        "type"
    };
    let _ = writeln!(out, "\t\t{how} {}", kinds.join(" . "));
    let size = set.size.or(set.dynamic.then_some(0xffff));
    if let Some(size) = size {
        let _ = writeln!(out, "\t\tsize {size}");
    }
    let flags = [
        ("dynamic", set.dynamic),
        ("interval", set.interval),
        ("timeout", set.timeout.is_some()),
    ];
    let flags: Vec<&str> = flags
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name))
        .gathered();
    // nft does not list a flag that the default timeout implies.
    let is_implied = flags == ["timeout"] && matches!(set.timeout, Some(Timeout::Seconds(_))) && style == Style::List;
    if !flags.is_empty() && !is_implied {
        let _ = writeln!(out, "\t\tflags {}", flags.join(","));
    }
    if let Some(Timeout::Seconds(seconds)) = set.timeout {
        let _ = writeln!(out, "\t\ttimeout {}", duration(seconds));
    }
    out.push_str(elements);
    out.push_str("\t}\n");
    out
}

fn element_lines(set: &Set) -> String {
    let elements: Vec<String> = set
        .elements()
        .iter()
        .map(|element| element_text(element, Style::List))
        .gathered();
    if elements.is_empty() {
        return String::new();
    }
    format!("\t\telements = {{ {} }}\n", elements.join(",\n\t\t\t     "))
}

fn add_elements(table: &str, set: &Set) -> String {
    let elements: Vec<String> = set
        .elements()
        .iter()
        .map(|element| element_text(element, Style::Script))
        .gathered();
    if elements.is_empty() {
        return String::new();
    }
    format!(
        "add element inet {table} {} {{\n\t{}\n}}\n\n",
        set.name,
        elements.join(",\n\t")
    )
}

fn element_text(element: &Element, style: Style) -> String {
    let mut out = element
        .key
        .iter()
        .map(|range| range_text(range, style))
        .gathered()
        .join(" . ");
    if let Some(seconds) = element.timeout {
        let _ = write!(out, " timeout {}", duration(seconds));
    }
    out
}

fn chain_block(chain: &Chain, base: &str, rules: &str) -> String {
    format!("\tchain {} {{\n{base}{rules}\t}}\n", chain.name)
}

fn base_line(chain: &Chain, style: Style) -> String {
    let Some(base) = chain.base else {
        return String::new();
    };
    let priority = match style {
        Style::List => priority_text(base),
        Style::Script => base.priority.to_string(),
    };
    format!(
        "\t\ttype filter hook {} priority {priority}; policy accept;\n",
        hook_name(base.hook)
    )
}

fn rule_text(rule: &Rule, style: Style) -> String {
    let mut words: Vec<String> = rule
        .statements
        .iter()
        .enumerate()
        .filter(|(index, _)| style == Style::Script || !is_implied(rule, *index))
        .map(|(_, statement)| statement_text(statement, style))
        .gathered();
    if !rule.comment.is_empty() {
        words.push(format!("comment {}", quoted(&rule.comment)));
    }
    words.join(" ")
}

/// nft leaves out what a later match implies: `meta l4proto udp udp dport 53` is listed as `udp dport 53`.
fn is_implied(rule: &Rule, index: usize) -> bool {
    let mut later = rule.statements[index + 1..].iter();
    match &rule.statements[index] {
        Statement::Match(Match::Family(family)) => later
            .flat_map(Statement::fields)
            .any(|field| field.family() == Some(*family) && !field.is_of_connection()),
        Statement::Match(Match::Is(Field::L4Proto, Value::InetProto(protocol))) => {
            later.any(|statement| statement.protocols().any(|asked| asked == *protocol))
        }
        _ => false,
    }
}

fn statement_text(statement: &Statement, style: Style) -> String {
    match statement {
        Statement::Match(condition) => match_text(condition, style),
        Statement::Counter(name) => format!("counter name {}", quoted(name)),
        Statement::Element {
            operation,
            set,
            key,
            timeout,
        } => {
            let timeout = timeout.map_or_else(String::new, |seconds| format!(" timeout {}", duration(seconds)));
            format!(
                "{} @{set} {{ {}{timeout} }}",
                operation_name(*operation),
                fields_text(key)
            )
        }
        Statement::Count { set, key } => format!("add @{set} {{ {} counter }}", fields_text(key)),
        Statement::SetMark(mark, bits) => {
            let name = mark_name(*mark);
            format!("{name} set {name} | {bits:#010x}")
        }
        Statement::ClearMark(mark, bits) => {
            let name = mark_name(*mark);
            format!("{name} set {name} & {:#010x}", !bits)
        }
        Statement::Log { group, snaplen, prefix } => {
            format!(
                "log prefix {} group {group} snaplen {snaplen}",
                quoted(&prefix.replace('$', "?"))
            )
        }
        Statement::Limit { rate, burst } => format!("limit rate {rate}/second burst {burst} packets"),
        Statement::Reject(Reject::TcpReset) => "reject with tcp reset".into(),
        Statement::Reject(Reject::PortUnreachable) => match style {
            Style::List => "reject".into(),
            Style::Script => "reject with icmpx port-unreachable".into(),
        },
        Statement::Jump(chain) => format!("jump {chain}"),
        Statement::Goto(chain) => format!("goto {chain}"),
        Statement::Return => "return".into(),
        Statement::Accept => "accept".into(),
        Statement::Drop => "drop".into(),
    }
}

fn match_text(condition: &Match, style: Style) -> String {
    match condition {
        Match::Is(field, value) => is_text(*field, &value_text(value, style), style),
        Match::BeginsWith(field, start) => {
            format!("{} {}", field_name(*field), quoted(&format!("{}*", ifname(start, 14))))
        }
        Match::Below(field, port) => format!("{} < {port}", field_name(*field)),
        Match::Above(field, port) => format!("{} > {port}", field_name(*field)),
        Match::In(fields, set) => {
            let equal = match fields.as_slice() {
                [field] if field.whole().1.is_some() => " ==",
                _ => "",
            };
            format!("{}{equal} @{set}", fields_text(fields))
        }
        Match::NotIn(fields, set) => format!("{} != @{set}", fields_text(fields)),
        Match::Direction(Direction::Original) => "ct direction original".into(),
        Match::Direction(Direction::Reply) => "ct direction reply".into(),
        Match::StatusDnat => "ct status dnat".into(),
        Match::StatusAssured => "ct status assured".into(),
        Match::StatusAssuredNoDnat => "ct status & (assured | dnat) == assured".into(),
        Match::State(states) => states_text(states),
        Match::Family(Family::Ipv4) => "meta nfproto ipv4".into(),
        Match::Family(Family::Ipv6) => "meta nfproto ipv6".into(),
        Match::TcpFlags(bits) => tcp_flags_text(*bits, style),
        Match::Mark(mark, bits) => {
            let (sign, value) = match bits {
                Bits::Any(_) => ("!=", 0),
                Bits::Exactly { set, .. } => ("==", *set),
            };
            format!("{} & {:#010x} {sign} {value:#010x}", mark_name(*mark), bits.mask())
        }
        Match::Bytes(Direction::Original, least) => format!("ct original bytes >= {least}"),
        Match::Bytes(Direction::Reply, least) => format!("ct reply bytes >= {least}"),
        Match::ToThisMachine => "fib daddr type local".into(),
        Match::NotTo(Many::Broadcast) => "fib daddr type != broadcast".into(),
        Match::NotTo(Many::Multicast) => "fib daddr type != multicast".into(),
    }
}

/// nft lists a masked comparison as a prefix, but reads some prefixes as a comparison of fewer bytes.
fn is_text(field: Field, value: &str, style: Style) -> String {
    match (field.whole(), style) {
        ((whole, Some(bits)), Style::List) => format!("{} {value}/{bits}", field_name(whole)),
        ((_, Some(_)), Style::Script) => format!("{} == {value}", field_text(field)),
        ((whole, None), _) => format!("{} {value}", field_name(whole)),
    }
}

/// Listed as nft does from 1.1 on.
fn tcp_flags_text(bits: Bits, style: Style) -> String {
    let names = tcp_flag_names;
    match (bits, style) {
        (Bits::Any(mask), Style::List) => format!("tcp flags {}", names(mask, ",")),
        (Bits::Any(mask), Style::Script) => format!("tcp flags & ({}) != 0", names(mask, " | ")),
        (Bits::Exactly { among, set: 0 }, Style::List) => format!("tcp flags ! {}", names(among, ",")),
        (Bits::Exactly { among, set: 0 }, Style::Script) => format!("tcp flags & ({}) == 0", names(among, " | ")),
        (Bits::Exactly { among, set }, Style::List) if among.is_power_of_two() => {
            format!("tcp flags & {} == {}", names(among, ""), names(set, ""))
        }
        (Bits::Exactly { among, set }, Style::List) => {
            format!("tcp flags & ({}) == {}", names(among, " | "), names(set, " | "))
        }
        (Bits::Exactly { among, set }, Style::Script) => {
            format!("tcp flags & ({}) == ({})", names(among, " | "), names(set, " | "))
        }
    }
}

fn tcp_flag_names(bits: u32, separator: &str) -> String {
    let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
    let set: Vec<&str> = (names.into_iter().enumerate())
        .filter_map(|(number, name)| (bits >> number & 1 == 1).then_some(name))
        .gathered();
    set.join(separator)
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Add => "add",
        Operation::Update => "update",
        Operation::Delete => "delete",
    }
}

fn mark_name(mark: Mark) -> &'static str {
    match mark {
        Mark::Packet => "meta mark",
        Mark::Connection => "ct mark",
    }
}

fn states_text(states: &[State]) -> String {
    let order = [
        (State::Invalid, "invalid"),
        (State::Established, "established"),
        (State::Related, "related"),
        (State::New, "new"),
        (State::Untracked, "untracked"),
    ];
    let names: Vec<&str> = order
        .iter()
        .filter(|(state, _)| states.contains(state))
        .map(|(_, name)| *name)
        .gathered();
    format!("ct state {}", names.join(","))
}

fn fields_text(fields: &[Field]) -> String {
    fields.iter().map(|field| field_text(*field)).gathered().join(" . ")
}

fn field_text(field: Field) -> String {
    match field.whole() {
        (whole, Some(bits)) => format!("{} & {}", field_name(whole), mask6(bits)),
        (whole, None) => field_name(whole).into(),
    }
}

/// Without its mask.
fn field_name(field: Field) -> &'static str {
    match field {
        Field::IifName => "iifname",
        Field::OifName => "oifname",
        Field::L4Proto => "meta l4proto",
        Field::Time => "meta time",
        Field::EtherSaddr => "ether saddr",
        Field::Ip4Saddr => "ip saddr",
        Field::Ip4Daddr => "ip daddr",
        Field::Ip6Saddr | Field::Ip6SaddrNet(_) => "ip6 saddr",
        Field::Ip6Daddr | Field::Ip6DaddrNet(_) => "ip6 daddr",
        Field::UdpSport => "udp sport",
        Field::UdpDport => "udp dport",
        Field::TcpSport => "tcp sport",
        Field::TcpDport => "tcp dport",
        Field::CtIp4Saddr => "ct original ip saddr",
        Field::CtIp4Daddr => "ct original ip daddr",
        Field::CtIp6Saddr | Field::CtIp6SaddrNet(_) => "ct original ip6 saddr",
        Field::CtIp6Daddr => "ct original ip6 daddr",
        Field::CtDport => "ct original proto-dst",
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ipv4Addr => "ipv4_addr",
        Kind::Ipv6Addr => "ipv6_addr",
        Kind::EtherAddr => "ether_addr",
        Kind::InetService => "inet_service",
        Kind::InetProto => "inet_proto",
        Kind::Ifname => "ifname",
        Kind::Time => "meta time",
    }
}

fn hook_name(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "prerouting",
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
        Hook::Postrouting => "postrouting",
    }
}

/// nft names a priority that is within 10 of one that has a name.
fn priority_text(base: Base) -> String {
    let named = [
        ("raw", -300),
        ("mangle", -150),
        ("dstnat", -100),
        ("filter", 0),
        ("security", 50),
        ("srcnat", 100),
    ];
    for (name, value) in named {
        let fits = match name {
            "dstnat" => base.hook == Hook::Prerouting,
            "srcnat" => base.hook == Hook::Postrouting,
            _ => true,
        };
        match base.priority.saturating_sub(value) {
            0 if fits => return name.into(),
            above @ 1..=10 if fits => return format!("{name} + {above}"),
            below @ -10..=-1 if fits => return format!("{name} - {}", -below),
            _ => {}
        }
    }
    base.priority.to_string()
}

fn range_text(range: &Range, style: Style) -> String {
    if range.is_single() {
        return value_text(&range.from, style);
    }
    // In a range nft prints protocols as numbers too.
    let from = value_text(&range.from, Style::Script);
    match prefix_length(range) {
        Some(length) => format!("{from}/{length}"),
        None => format!("{from}-{}", value_text(&range.to, Style::Script)),
    }
}

/// The length of the prefix that a range of addresses is.
fn prefix_length(range: &Range) -> Option<u32> {
    let (from, to, bits) = match (&range.from, &range.to) {
        (Value::Ipv4Addr(from), Value::Ipv4Addr(to)) => {
            (u32::from(*from).into(), u32::from(*to).into(), Ipv4Addr::BITS)
        }
        (Value::Ipv6Addr(from), Value::Ipv6Addr(to)) => (u128::from(*from), u128::from(*to), Ipv6Addr::BITS),
        _ => return None,
    };
    let host: u128 = from ^ to;
    let is_prefix = host & host.wrapping_add(1) == 0 && from & host == 0;
    is_prefix.then(|| bits - (u128::BITS - host.leading_zeros()))
}

fn value_text(value: &Value, style: Style) -> String {
    match value {
        Value::Ipv4Addr(address) => address.to_string(),
        Value::Ipv6Addr(address) => address.to_string(),
        Value::EtherAddr([a, b, c, d, e, f]) => format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
        Value::InetService(port) => port.to_string(),
        Value::InetProto(protocol) => match (style, protocol_name(*protocol)) {
            (Style::List, Some(name)) => name.into(),
            _ => protocol.to_string(),
        },
        Value::Ifname(name) => quoted(&ifname(name, 15)),
        Value::Time(seconds) => seconds.to_string(),
    }
}

fn protocol_name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}

/// A device name with what nft would misread replaced: a slash, which no device has in its name.
fn ifname(name: &str, longest: usize) -> String {
    if check::is_ifname(name) && name.len() <= longest {
        return name.to_owned();
    }
    let harmless: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '/' })
        .collect();
    format!("/{harmless}").chars().take(longest).collect()
}

fn quoted(text: &str) -> String {
    if check::is_quotable(text) {
        return format!("\"{text}\"");
    }
    let harmless: String = text
        .chars()
        .map(|c| if c == '"' || c.is_control() { '?' } else { c })
        .collect();
    format!("\"{harmless}\"")
}

/// As nft prints it: `1d2h3m4s`.
fn duration(seconds: u32) -> String {
    let parts = [
        (seconds / 86400, 'd'),
        (seconds / 3600 % 24, 'h'),
        (seconds / 60 % 60, 'm'),
        (seconds % 60, 's'),
    ];
    let text: String = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".into()
    } else {
        text
    }
}
