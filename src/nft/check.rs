//! What can be said in nftables' text and in its messages alike, and what not.

use super::{
    mask6, Bits, Chain, Contents, Element, Field, Kind, Match, Operation, Reject, Rule, Set, Statement, Table, Value,
    TCP, UDP,
};
use crate::gather::GatherInto;
use std::fmt;

/// Longest name of a table, chain, set or counter. The kernel takes 255; nobody types that.
const NAME: usize = 63;
/// libnftnl's limit for a comment is 128 with the NUL.
const COMMENT: usize = 127;
/// The kernel's limit for a log prefix is 128 with the NUL (`NF_LOG_PREFIXLEN`).
const PREFIX: usize = 127;
/// Keeps a rule well below the 64 KiB of an attribute; no rule for people has half as many.
const STATEMENTS: usize = 64;
/// Registers that a concatenated key has (`NFT_REG32_COUNT`), in bytes.
const KEY_SIZE: usize = 64;
/// `NFT_REG32_COUNT` bounds the parts of a concatenation that holds ranges.
const KEY_PARTS: usize = 16;

/// The words that nft 1.1.3 does not take as a name; 1.0.6 has fewer. Found by asking it. In order.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "accept", "add", "ah", "all", "and", "arp", "bridge", "bytes", "cgroup", "chain", "comment", "comp", "constant",
    "continue", "counter", "cpu", "create", "ct", "day", "dccp", "define", "delete", "describe", "destroy", "device",
    "devices", "dnat", "drop", "dst", "dup", "dynamic", "ecn", "element", "elements", "eq", "esp", "ether", "exists",
    "expires", "export", "exthdr", "fib", "flags", "flow", "flowtable", "flush", "frag", "fwd", "ge", "geneve", "get",
    "goto", "gre", "gretap", "gt", "handle", "hbh", "hook", "hour", "ibriport", "ibrname", "icmp", "icmpv6", "igmp",
    "iif", "iifgroup", "iifname", "iiftype", "import", "include", "index", "inet", "insert", "interval", "ip", "ip6",
    "ipsec", "jhash", "jump", "le", "limit", "list", "log", "lt", "map", "mark", "masquerade", "meta", "meter", "mh",
    "missing", "monitor", "name", "ne", "netdev", "nftrace", "not", "notrack", "numgen", "obriport", "obrname",
    "offload", "oif", "oifgroup", "oifname", "oiftype", "or", "osf", "packets", "pkttype", "policy", "position",
    "priority", "queue", "quota", "random", "redefine", "redirect", "reject", "rename", "replace", "reset", "return",
    "rt", "rt0", "rt2", "rtclassid", "rule", "ruleset", "sctp", "secmark", "set", "size", "skgid", "skuid", "snat",
    "socket", "srh", "symhash", "synproxy", "table", "tcp", "th", "time", "timeout", "tproxy", "type", "typeof",
    "udp", "udplite", "undefine", "update", "vlan", "vmap", "vni", "vxlan", "xt",
];

/// Something that cannot be rendered: a mistake in whoever made the table, or in what they let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `set "x"`, `chain "y", rule 3`.
    pub at: String,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.problem)
    }
}

impl std::error::Error for Fault {}

/// Whether a device of that name can be named in a rule. Linux itself allows more (`dev_valid_name`): quotes, which nft's text has no way to
/// write, `*`, which ends a prefix there, and any length up to 15 bytes.
#[must_use]
pub fn is_ifname(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && is_quotable(name)
        && !name.contains(['*', '\\', '/'])
        && !name.contains(char::is_whitespace)
}

/// Whether nft's scanner takes it between quotes, on one line.
pub(super) fn is_quotable(text: &str) -> bool {
    !text.contains('"') && !text.contains(char::is_control)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.len() <= NAME
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && KEYWORDS.binary_search(&name).is_err()
}

fn fault(at: impl Into<String>, problem: impl Into<String>) -> Fault {
    Fault {
        at: at.into(),
        problem: problem.into(),
    }
}

impl Table {
    /// Whether both renderings can say all of it. `apply` does this first; a table made of outside names (devices, comments) should be checked
    /// where it is made, so that the message can name the culprit.
    ///
    /// # Errors
    /// The first thing that cannot be said.
    pub fn check(&self) -> Result<(), Fault> {
        let named = [("table", std::slice::from_ref(&self.name)), ("counter", &self.counters)];
        for (what, names) in named {
            check_names(what, names.iter().map(String::as_str))?;
        }
        check_names("set", self.sets.iter().map(|set| set.name.as_str()))?;
        check_names("chain", self.chains.iter().map(|chain| chain.name.as_str()))?;
        self.sets.iter().try_for_each(check_set)?;
        self.chains.iter().try_for_each(|chain| self.check_chain(chain))
    }

    fn check_chain(&self, chain: &Chain) -> Result<(), Fault> {
        for (index, rule) in chain.rules.iter().enumerate() {
            let at = format!("chain \"{}\", rule {}", chain.name, index + 1);
            self.check_rule(rule).map_err(|problem| fault(at, problem))?;
        }
        Ok(())
    }

    fn check_rule(&self, rule: &Rule) -> Result<(), String> {
        if rule.comment.len() > COMMENT || !is_quotable(&rule.comment) {
            return Err(format!(
                "the comment {:?} is too long or has quotes or control characters in it",
                rule.comment
            ));
        }
        if rule.statements.is_empty() || rule.statements.len() > STATEMENTS {
            return Err(format!(
                "{} statements; 1 to {STATEMENTS} can be in a rule",
                rule.statements.len()
            ));
        }
        check_order(rule)?;
        check_end(rule)?;
        check_protocols(rule)?;
        check_needs(rule)?;
        check_keys(rule)?;
        rule.statements
            .iter()
            .try_for_each(|statement| self.check_statement(statement))
    }

    fn check_statement(&self, statement: &Statement) -> Result<(), String> {
        match statement {
            Statement::Match(condition) => self.check_match(condition),
            Statement::Counter(name) if !self.counters.contains(name) => Err(format!("no counter \"{name}\"")),
            Statement::Element {
                operation,
                set,
                key,
                timeout,
            } => {
                let target = self.keyed(set, key)?;
                if !target.dynamic || target.timeout.is_none() || target.interval {
                    return Err(format!(
                        "set \"{set}\" does not take updates: it must be dynamic, with timeouts, without ranges"
                    ));
                }
                if *timeout == Some(0) || (timeout.is_some() && *operation == Operation::Delete) {
                    return Err("a timeout of 0, or of what goes at once".into());
                }
                Ok(())
            }
            Statement::Count { set, key } => match self.keyed(set, key)? {
                target if !target.dynamic || target.interval => Err(format!(
                    "set \"{set}\" does not count: it must be dynamic, without ranges"
                )),
                _ => Ok(()),
            },
            Statement::SetMark(_, 0) => Err("sets no bit of the mark".into()),
            Statement::ClearMark(_, 0 | u32::MAX) => Err("clears no bit of the mark, or all".into()),
            Statement::Log { snaplen, prefix, .. } => check_log(*snaplen, prefix),
            Statement::Limit { rate: 0, .. } | Statement::Limit { burst: 0, .. } => Err("a limit of 0".into()),
            Statement::Jump(name) | Statement::Goto(name) => {
                match self.chains.iter().find(|chain| chain.name == *name) {
                    None => Err(format!("no chain \"{name}\"")),
                    Some(chain) if chain.base.is_some() => Err(format!("\"{name}\" is a base chain")),
                    Some(_) => Ok(()),
                }
            }
            Statement::Counter(_) | Statement::Return | Statement::Accept | Statement::Drop => Ok(()),
            Statement::SetMark(..) | Statement::ClearMark(..) => Ok(()),
            Statement::Limit { .. } | Statement::Reject(_) => Ok(()),
        }
    }

    fn check_match(&self, condition: &Match) -> Result<(), String> {
        match condition {
            Match::Is(field, value) if field.kind() != value.kind() => Err(format!("{field:?} is never {value:?}")),
            Match::Is(field, value) => {
                check_field(*field)?;
                check_within(*field, value)?;
                check_value(value)
            }
            Match::BeginsWith(field, start) => {
                if field.kind() != Kind::Ifname || !is_ifname(start) || start.len() > 14 {
                    return Err(format!("{field:?} cannot be asked for the beginning {start:?}"));
                }
                Ok(())
            }
            // What is true of every port, or of none, is not kept as written.
            Match::Below(field, 0) | Match::Above(field, u16::MAX) => Err(format!("no {field:?} can be so")),
            Match::Below(field, _) | Match::Above(field, _) if field.kind() != Kind::InetService => {
                Err(format!("{field:?} is no port"))
            }
            Match::Below(field, _) | Match::Above(field, _) => check_field(*field),
            Match::In(fields, set) | Match::NotIn(fields, set) => self.keyed(set, fields).map(|_| ()),
            Match::State(states) if states.is_empty() => Err("no conntrack state".into()),
            Match::TcpFlags(bits) => check_bits(*bits, 0xff),
            Match::Mark(_, bits) => check_bits(*bits, u32::MAX),
            Match::StatusDnat | Match::StatusAssured | Match::StatusAssuredNoDnat => Ok(()),
            Match::State(_) | Match::Direction(_) => Ok(()),
            Match::Family(_) | Match::Bytes(..) | Match::ToThisMachine | Match::NotTo(_) => Ok(()),
        }
    }

    fn keyed(&self, name: &str, fields: &[Field]) -> Result<&Set, String> {
        let set = self.set(name).ok_or_else(|| format!("no set \"{name}\""))?;
        fields.iter().try_for_each(|field| check_field(*field))?;
        if !fields.iter().map(|field| field.kind()).eq(set.key.iter().copied()) {
            return Err(format!("{fields:?} is no key of set \"{name}\" ({:?})", set.key));
        }
        Ok(set)
    }
}

/// nft before 1.0.7 may pull a match over the counter or update that stands before a later match, which then counts what it should not.
fn check_order(rule: &Rule) -> Result<(), String> {
    let is_match = |statement: &Statement| matches!(statement, Statement::Match(_));
    match rule
        .statements
        .iter()
        .skip_while(|statement| is_match(statement))
        .any(is_match)
    {
        true => Err("a match stands behind something that is none".into()),
        false => Ok(()),
    }
}

/// nft refuses to read what no packet reaches.
fn check_end(rule: &Rule) -> Result<(), String> {
    let is_end = |statement: &Statement| {
        use Statement::{Accept, Drop, Goto, Jump, Reject, Return};
        matches!(statement, Jump(_) | Goto(_) | Return | Accept | Drop | Reject(_))
    };
    match rule.statements.iter().rev().skip(1).any(is_end) {
        true => Err("something stands behind the rule's end".into()),
        false => Ok(()),
    }
}

/// nft puts what a reset needs before the whole rule where it is not said, and before 1.1 it knows a connection's ports only behind a match of
/// their protocol.
fn check_needs(rule: &Rule) -> Result<(), String> {
    let mut known = None;
    for statement in &rule.statements {
        if statement.fields().contains(&Field::CtDport) && !matches!(known, Some(TCP | UDP)) {
            return Err("a connection's port, and no protocol before".into());
        }
        if *statement == Statement::Reject(Reject::TcpReset) && known != Some(TCP) {
            return Err("a reset of what may not be TCP".into());
        }
        known = statement.protocols().next().or(known);
        if let Statement::Match(Match::Is(Field::L4Proto, Value::InetProto(protocol))) = statement {
            known = Some(*protocol);
        }
    }
    Ok(())
}

/// nft before 1.0.7 may join what a key behind a counter or the like asks of the packet with a match before it, which is then asked too late.
fn check_keys(rule: &Rule) -> Result<(), String> {
    let (mut family, mut protocol, mut acted) = (None, None, false);
    for statement in &rule.statements {
        let asked = (statement.fields().iter())
            .filter(|field| !field.is_of_connection())
            .find_map(|field| field.family());
        let news =
            asked.filter(|_| family.is_none()).is_some() || protocol.is_none() && statement.protocols().count() > 0;
        if acted && news {
            return Err("a key asks for what should be asked before the rule does anything".into());
        }
        family = family.or(asked);
        protocol = protocol.or_else(|| statement.protocols().next());
        match statement {
            Statement::Match(Match::Family(asked)) => family = Some(*asked),
            Statement::Match(Match::Is(Field::L4Proto, Value::InetProto(asked))) => protocol = Some(*asked),
            Statement::Match(_) => {}
            _ => acted = true,
        }
    }
    Ok(())
}

/// nft lists a mask of all bits as none, and drops one of no bits.
fn check_bits(bits: Bits, all: u32) -> Result<(), String> {
    let is_outside = matches!(bits, Bits::Exactly { among, set } if set & !among != 0);
    match bits.mask() == 0 || bits.mask() >= all || is_outside {
        true => Err(format!(
            "{bits:?}: no bits, all of them, or others than those looked at"
        )),
        false => Ok(()),
    }
}

fn check_field(field: Field) -> Result<(), String> {
    match field.whole().1 {
        Some(0 | 128..) => Err(format!("{field:?}: a mask leaves 1 to 127 bits")),
        _ => Ok(()),
    }
}

/// A masked field never has bits that its mask clears.
fn check_within(field: Field, value: &Value) -> Result<(), String> {
    let (Some(bits), Value::Ipv6Addr(address)) = (field.whole().1, value) else {
        return Ok(());
    };
    match address.to_bits() & !mask6(bits).to_bits() {
        0 => Ok(()),
        _ => Err(format!("{field:?} is never {value:?}")),
    }
}

/// nft from 1.1 on refuses an empty prefix; every one looks for variables after a `$`. The kernel does not tell a `snaplen` of 0 from none.
fn check_log(snaplen: u32, prefix: &str) -> Result<(), String> {
    if snaplen == 0 || prefix.is_empty() || prefix.len() > PREFIX || !is_quotable(prefix) || prefix.contains('$') {
        return Err(format!("the log prefix {prefix:?} is empty, too long or has quotes, '$' or control characters in it, or nothing is logged"));
    }
    Ok(())
}

/// nft from 1.1 on refuses to look into a packet's ports in a rule that asks for its protocol by a set.
fn asks_set_for_protocol(statement: &Statement) -> bool {
    matches!(statement, Statement::Match(Match::In(fields, _) | Match::NotIn(fields, _)) if *fields == [Field::L4Proto])
}

/// A rule that asks for two families or two protocols never matches, and nft refuses to read it.
fn check_protocols(rule: &Rule) -> Result<(), String> {
    let (mut families, mut protocols) = (Vec::new(), Vec::new());
    for statement in &rule.statements {
        families.gather(statement.fields().iter().filter_map(|field| field.family()));
        protocols.extend(statement.protocols());
        match statement {
            Statement::Match(Match::Family(family)) => families.push(*family),
            Statement::Match(Match::Is(Field::L4Proto, Value::InetProto(protocol))) => protocols.push(*protocol),
            _ => {}
        }
    }
    if differ(&families) || differ(&protocols) {
        return Err("asks for two protocols at once".into());
    }
    if !protocols.is_empty() && rule.statements.iter().any(asks_set_for_protocol) {
        return Err("asks for a protocol and for one of a set".into());
    }
    Ok(())
}

fn differ<T: PartialEq>(all: &[T]) -> bool {
    all.windows(2).any(|pair| pair[0] != pair[1])
}

fn check_names<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
    let mut seen = crate::sorted::Set::new();
    for name in names {
        if !is_name(name) {
            return Err(fault(
                format!("{what} {name:?}"),
                "not a name (letters, digits and '_', beginning with a letter, and no word of nft's own)",
            ));
        }
        if !seen.insert(name) {
            return Err(fault(format!("{what} \"{name}\""), "there twice"));
        }
    }
    Ok(())
}

fn check_set(set: &Set) -> Result<(), Fault> {
    check_shape(set).map_err(|problem| fault(format!("set \"{}\"", set.name), problem))?;
    let Contents::Configuration(elements) = &set.contents else {
        return Ok(());
    };
    for element in elements {
        set.check_element(element)?;
    }
    Ok(())
}

fn check_shape(set: &Set) -> Result<(), &'static str> {
    let padded: usize = set.key.iter().map(|kind| kind.size().next_multiple_of(4)).sum();
    if set.key.is_empty() || set.key.len() > KEY_PARTS || padded > KEY_SIZE {
        return Err("a key has at least one part and at most 64 bytes");
    }
    if set.is_concatenation() && set.key.contains(&Kind::Time) {
        return Err("a time cannot be part of a concatenation");
    }
    if set.interval && set.key == [Kind::Ifname] {
        return Err("there are no ranges of names");
    }
    if set.interval && set.dynamic {
        return Err("the packet path cannot add ranges");
    }
    if set.timeout == Some(super::Timeout::Seconds(0)) || set.size == Some(0) {
        return Err("a timeout or size of 0 is none at all");
    }
    Ok(())
}

fn check_element(set: &Set, element: &Element) -> Result<(), String> {
    if element.key.len() != set.key.len() {
        return Err("not as many parts as the set's key".into());
    }
    if element.timeout.is_some() && set.timeout.is_none() {
        return Err("a timeout, in a set without".into());
    }
    if element.timeout == Some(0) {
        return Err("a timeout of 0".into());
    }
    for (range, kind) in element.key.iter().zip(&set.key) {
        if range.from.kind() != *kind || range.to.kind() != *kind {
            return Err("not of the set's type".into());
        }
        if range.from > range.to || (!range.is_single() && (!set.interval || *kind == Kind::Ifname)) {
            return Err("not a range that the set can hold".into());
        }
        check_value(&range.from)?;
        check_value(&range.to)?;
    }
    Ok(())
}

fn check_value(value: &Value) -> Result<(), String> {
    match value {
        Value::Ifname(name) if !is_ifname(name) => Err(format!("{name:?} is no device name that a rule can hold")),
        Value::Time(seconds) if *seconds > u64::MAX / 1_000_000_000 / 2 => Err(format!("{seconds} s is no time")),
        _ => Ok(()),
    }
}

impl Set {
    /// Whether the element can be in the set.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check_element(&self, element: &Element) -> Result<(), Fault> {
        check_element(self, element)
            .map_err(|problem| fault(format!("set \"{}\", element {:?}", self.name, element.key), problem))
    }
}
