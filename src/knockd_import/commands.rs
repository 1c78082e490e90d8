//! What a door's command opens or closes, as far as that is certain. Commands are read, never run.
//!
//! Known are iptables, ip6tables, nft, ipset and ufw, one or several behind each other with `;` or `&&`. In everything else, and in every option that is not
//! listed here, could be anything: then nothing is said about the whole command.
use crate::gather::Gather;
use crate::gather::GatherInto;
/// What a command does to a firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effect {
    /// It opens; if not, it closes.
    pub opens: bool,
    /// For everybody, not only for `%IP%`.
    pub anyone: bool,
    /// Where: chain, destination and interface, or a set.
    pub place: String,
    /// The place is a set of addresses: whether it lets them in or keeps them out is written elsewhere.
    pub set: bool,
    /// TCP ports as `tcp:22` and `tcp:8000-8010`, sorted; none: all ports.
    pub services: Vec<String>,
    /// Whether TCP is among what it opens.
    pub tcp: bool,
    /// Whether something else than TCP is, by name.
    pub other: bool,
}

impl Effect {
    /// Whether both are about the same rule.
    pub fn is_about(&self, other: &Self) -> bool {
        self.place == other.place && self.services == other.services && self.anyone == other.anyone
    }

    /// Whether this opens all that `other` opens.
    pub fn covers(&self, other: &Self) -> bool {
        let all = other.services.iter().all(|service| self.services.contains(service));
        self.place == other.place && (self.services.is_empty() || (all && !other.services.is_empty()))
    }
}

/// What a command does, or `None` if that is not certain.
pub(super) fn effect(command: &str) -> Option<Effect> {
    let mut all: Option<Effect> = None;
    for words in words(command)? {
        let one = part(&words)?;
        all = Some(match all {
            None => one,
            Some(before) => join(before, one)?,
        });
    }
    all
}

fn join(mut one: Effect, other: Effect) -> Option<Effect> {
    (one.opens == other.opens && one.place == other.place).then_some(())?;
    if one.tcp && other.tcp && (one.services.is_empty() || other.services.is_empty()) {
        one.services.clear();
    } else {
        one.services.extend(other.services);
        one.services.sort();
        one.services.dedup();
    }
    one.anyone |= other.anyone;
    one.tcp |= other.tcp;
    one.other |= other.other;
    Some(one)
}

/// A command line's commands, each as its words. `None` where a shell would do more than to run them one after the other.
fn words(command: &str) -> Option<Vec<Vec<String>>> {
    let mut command = command.trim_end();
    while let Some(shorter) = ["2>&1", "2>/dev/null", ">/dev/null", "> /dev/null"]
        .iter()
        .find_map(|quiet| command.strip_suffix(quiet))
    {
        command = shorter.trim_end();
    }
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    let mut letters = command.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '$' | '`' | '\\' => return None,
            _ if quote == Some(letter) => quote = None,
            _ if quote.is_some() => word.get_or_insert_default().push(letter),
            '\'' | '"' => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            '|' | '<' | '>' | '(' | ')' | '*' | '?' | '#' | '~' => return None,
            '&' if letters.next_if_eq(&'&').is_none() => return None,
            ';' | '&' => {
                words.gather(word.take());
                commands.push(std::mem::take(&mut words));
            }
            _ if letter.is_ascii_whitespace() => words.gather(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    commands.push(words);
    commands.retain(|words| !words.is_empty());
    quote.is_none().then_some(commands)
}

fn part(words: &[String]) -> Option<Effect> {
    let words: Vec<&str> = words.iter().map(String::as_str).gathered();
    let words = words.strip_prefix(&["sudo"]).unwrap_or(&words);
    let (program, words) = words.split_first()?;
    let program = program.rsplit('/').next()?;
    match program {
        "nft" => nft(words),
        "ipset" => ipset(words),
        "ufw" => ufw(words),
        "iptables" | "ip6tables" | "iptables-nft" | "ip6tables-nft" | "iptables-legacy" | "ip6tables-legacy" => {
            iptables(words)
        }
        _ => None,
    }
}

/// A rule as it is put together.
#[derive(Default)]
struct Rule<'a> {
    opens: Option<bool>,
    of_source: bool,
    accepts: bool,
    protocol: Option<&'a str>,
    ports: Option<String>,
    place: Vec<&'a str>,
}

impl<'a> Rule<'a> {
    fn source(&mut self, text: &str) -> Option<()> {
        self.of_source = true;
        matches!(text, "%IP%" | "%IP%/32" | "%IP%/128").then_some(())
    }

    fn at(&mut self, name: &'a str, value: &'a str) {
        self.place.extend([name, value]);
    }

    fn effect(mut self) -> Option<Effect> {
        let protocol = self.protocol.unwrap_or("tcp");
        let all = matches!(protocol, "all" | "any" | "0");
        let tcp = all || matches!(protocol, "tcp" | "6");
        let services = match &self.ports {
            // A port without a protocol that has ports is no rule.
            Some(_) if !tcp && !matches!(protocol, "udp" | "17") => return None,
            Some(ports) if tcp => services(ports)?,
            _ => Vec::new(),
        };
        self.accepts.then_some(())?;
        // The order of options in a rule means nothing.
        self.place.sort_unstable();
        Some(Effect {
            opens: self.opens?,
            anyone: !self.of_source,
            place: self.place.join(" "),
            set: false,
            services,
            tcp,
            other: !matches!(protocol, "tcp" | "6"),
        })
    }
}

/// `22`, `22,80`, `8000:8010`, `ssh`.
fn services(ports: &str) -> Option<Vec<String>> {
    let number = |text: &str| match text {
        "ssh" => Some(22),
        "http" => Some(80),
        "https" => Some(443),
        _ => text.parse::<u16>().ok().filter(|port| *port > 0),
    };
    let service = |text: &str| match text.split_once([':', '-']) {
        Some((from, to)) => Some(format!("tcp:{}-{}", number(from)?, number(to)?)),
        None => Some(format!("tcp:{}", number(text)?)),
    };
    let mut services: Vec<String> = ports.split(',').map(service).collect::<Option<_>>()?;
    services.sort();
    services.dedup();
    Some(services)
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn iptables(words: &[&str]) -> Option<Effect> {
    let mut rule = Rule::default();
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        match word {
            "-A" | "--append" | "-I" | "--insert" | "-D" | "--delete" => {
                let opens = !matches!(word, "-D" | "--delete");
                rule.opens.replace(opens).is_none().then_some(())?;
                rule.at("chain", words.next().filter(|chain| *chain != "OUTPUT")?);
                let position = words.next_if(|word| is_number(word));
                (opens || position.is_none()).then_some(())?;
            }
            "-s" | "--source" | "--src" => rule.source(words.next()?)?,
            "-p" | "--protocol" | "--proto" => rule.protocol = Some(words.next()?),
            "--dport" | "--dports" | "--destination-port" | "--destination-ports" => {
                rule.ports = Some(words.next()?.to_owned());
            }
            "-d" | "--destination" | "--dst" => rule.at("to", words.next()?),
            "-i" | "--in-interface" => rule.at("on", words.next()?),
            "-j" | "--jump" => rule.accepts = words.next()? == "ACCEPT",
            "-t" | "--table" => (words.next()? == "filter").then_some(())?,
            "--state" | "--ctstate" => words.next()?.split(',').any(|state| state == "NEW").then_some(())?,
            "-m" | "--match" | "--comment" => drop(words.next()?),
            "-w" | "--wait" => drop(words.next_if(|word| is_number(word))),
            "--syn" | "-4" | "-6" | "-v" | "-n" => {}
            _ => return None,
        }
    }
    rule.effect()
}

fn nft(words: &[&str]) -> Option<Effect> {
    let text = words.join(" ").replace('{', " { ").replace('}', " } ");
    let mut words = text.split_ascii_whitespace().peekable();
    let opens = match words.next()? {
        "add" | "insert" | "create" => true,
        "delete" => false,
        _ => return None,
    };
    let what = words.next()?;
    let family = words.next_if(|word| matches!(*word, "ip" | "ip6" | "inet" | "bridge" | "netdev"));
    let (table, name) = (words.next()?, words.next()?);
    if what == "element" {
        let elements: Vec<&str> = words.gathered();
        let right = matches!(
            elements.as_slice(),
            ["{", "%IP%", "}"] | ["{", "%IP%", "timeout", _, "}"]
        );
        return right.then(|| set(opens, &[family.unwrap_or("ip"), table, name].join(" ")));
    }
    // A rule is deleted by a number that only its table knows.
    (what == "rule" && opens).then_some(())?;
    let mut rule = Rule {
        opens: Some(true),
        ..Rule::default()
    };
    rule.at("table", table);
    rule.at("chain", name);
    while let Some(word) = words.next() {
        match word {
            "position" | "index" | "handle" | "comment" => drop(words.next()?),
            "iif" | "iifname" => rule.at("on", words.next()?),
            "ip" | "ip6" => match words.next()? {
                "saddr" => rule.source(words.next()?)?,
                "daddr" => rule.at("to", words.next()?),
                _ => return None,
            },
            "tcp" | "udp" => {
                (words.next()? == "dport").then_some(())?;
                rule.protocol = Some(word);
                let first = words.next()?;
                rule.ports = Some(if first == "{" {
                    words.by_ref().take_while(|word| *word != "}").collect::<String>()
                } else {
                    first.to_owned()
                });
            }
            "ct" => {
                (words.next()? == "state" && words.next()?.split(',').any(|state| state == "new")).then_some(())?;
            }
            "counter" => {}
            "accept" => rule.accepts = true,
            _ => return None,
        }
    }
    rule.effect()
}

fn ipset(words: &[&str]) -> Option<Effect> {
    let mut words = words.iter().copied().filter(|word| !matches!(*word, "-!" | "-exist"));
    let opens = match words.next()? {
        "add" | "-A" => true,
        "del" | "-D" => false,
        _ => return None,
    };
    let (name, entry) = (words.next()?, words.next()?);
    let rest: Vec<&str> = words.gathered();
    let right = entry == "%IP%" && matches!(rest.as_slice(), [] | ["timeout", _]);
    right.then(|| set(opens, name))
}

fn set(opens: bool, name: &str) -> Effect {
    Effect {
        opens,
        anyone: false,
        place: format!("set {name}"),
        set: true,
        services: Vec::new(),
        tcp: true,
        other: false,
    }
}

fn ufw(words: &[&str]) -> Option<Effect> {
    let mut rule = Rule {
        accepts: true,
        ..Rule::default()
    };
    let mut words = words.iter().copied().peekable();
    words.next_if_eq(&"--force");
    rule.opens = Some(words.next_if_eq(&"delete").is_none());
    if words.next_if_eq(&"insert").is_some() {
        words.next_if(|word| is_number(word))?;
    }
    words.next_if_eq(&"prepend");
    words.next_if_eq(&"allow")?;
    words.next_if_eq(&"in");
    rule.at("chain", "ufw");
    let mut of_target = false;
    while let Some(word) = words.next() {
        match word {
            "from" => {
                of_target = false;
                match words.next()? {
                    "any" => {}
                    source => rule.source(source)?,
                }
            }
            "to" => {
                of_target = true;
                match words.next()? {
                    "any" => {}
                    target => rule.at("to", target),
                }
            }
            "on" => rule.at("on", words.next()?),
            "port" if of_target => rule.ports = Some(words.next()?.to_owned()),
            "proto" => rule.protocol = Some(words.next()?),
            "comment" => drop(words.next()?),
            short if rule.ports.is_none() && !of_target => {
                let (ports, protocol) = short.split_once('/').unwrap_or((short, "any"));
                rule.protocol = Some(protocol);
                rule.ports = Some(ports.to_owned());
            }
            _ => return None,
        }
    }
    rule.effect()
}
