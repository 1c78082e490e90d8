//! Our side of the comparison on paper: the configuration, the table that is made of it, and the firewall that fw4 would write.

use super::{Place, Terms};
use lanward::nft::text;
use lanward::{config, gate, network, policy, ruleset, uci};
use serde_json::Value;

const FIREWALL: &str = "config zone
	option name 'lan'
	list network 'lan'
	option input 'ACCEPT'
	option output 'ACCEPT'
	option forward 'ACCEPT'

config zone
	option name 'wan'
	list network 'wan'
	option input 'REJECT'
	option output 'ACCEPT'
	option forward 'REJECT'
";

const NETWORK: &str = "config interface 'lan'
	option device 'lan0'
	option proto 'static'
	list ipaddr '192.168.1.1/24'

config interface 'wan'
	option device 'wan0'
	option proto 'static'
	list ipaddr '198.51.100.2/24'
	list ip6addr '2001:db8:1::2/64'
";

/// `/etc/config/lanward`
fn configuration(terms: &Terms) -> String {
    let Terms {
        window,
        size,
        forget,
        refuse,
        ..
    } = terms;
    let (services, dests) = match terms.place {
        Place::Behind => (
            "\tlist service 'tcp:22>192.168.1.10:22'\n\tlist service 'tcp:22>[2001:db8:10::10]:22'\n",
            "\tlist dest '192.0.2.25'\n\tlist dest '2001:db8:25::25'\n",
        ),
        Place::Router => ("\tlist service 'tcp:22'\n", ""),
    };
    format!(
        "config lanward 'lanward'

config lan_only 'lan_only'
	option enabled '0'

config gate 'ssh'
	option enabled '1'
{services}	option window '{window}'
	option size '{size}'
	option forget '{forget}'
	option refuse '{refuse}'

config witness 'imaps'
	option gate 'ssh'
	option port '993'
{dests}"
    )
}

/// Our table's script, and fw4's with what our program has it accept and redirect.
///
/// # Panics
/// If the configuration has problems.
#[must_use]
pub fn tables(terms: &Terms) -> [String; 2] {
    let package = |text: &str| uci::parse(text.as_bytes()).expect("it is UCI");
    let (firewall, network_file) = (package(FIREWALL), package(NETWORK));
    let (config, mut problems) = config::read_text(Some(configuration(terms).as_bytes()));
    let network = network::read(&network::Sources {
        firewall: Some(&firewall),
        network: Some(&network_file),
        netifd: None,
        links: &network::Links::default(),
    });
    let compiled = policy::compile(&config, &network, "UTC0", 0);
    problems.extend(compiled.problems);
    assert!(problems.is_empty(), "{problems:?}");
    let gates = &compiled.policy.gates;
    let rules = gate::fw4_rules(gates, gates.lan.as_deref());
    let ours = text::script(&ruleset::lay_out(&compiled.policy, false));
    [ours, fw4(terms, &rules)]
}

/// fw4's chains.
#[derive(Debug, Default)]
struct Chains {
    input: String,
    forward: String,
    dstnat: String,
}

impl Chains {
    /// One of fw4's rules or redirects.
    fn add(&mut self, rule: &Value) {
        let option = |name: &str| rule[name].as_str().unwrap_or_default();
        let (bits, mask) = option("mark").split_once('/').expect("the mark has a mask");
        let marked = format!("meta mark and {mask} == {bits} counter");
        let family = match option("family") {
            "" => String::new(),
            family => format!("meta nfproto {family} "),
        };
        assert_eq!((option("src"), option("proto")), ("wan", "tcp"), "{rule}");
        let (chain, line) = match (option("type"), option("target"), option("dest_ip")) {
            ("rule", "ACCEPT", "") => (
                &mut self.input,
                format!("{family}tcp dport {} {marked} accept", option("dest_port")),
            ),
            ("rule", "ACCEPT", host) => (
                &mut self.forward,
                format!("ip6 daddr {host} tcp dport {} {marked} accept", option("dest_port")),
            ),
            ("redirect", "DNAT", host) => (
                &mut self.dstnat,
                format!(
                    "{family}tcp dport {} {marked} dnat ip to {host}:{}",
                    option("src_dport"),
                    option("dest_port")
                ),
            ),
            _ => panic!("not known here: {rule}"),
        };
        chain.push_str(&format!("\t\t{line}\n"));
    }
}

fn fw4(terms: &Terms, rules: &Value) -> String {
    let refuse = match terms.zone {
        "drop" => "counter drop",
        _ => "counter jump handle_reject",
    };
    let mut chains = Chains::default();
    match terms.place {
        Place::Behind => {
            for mail in ["ip daddr 192.0.2.25", "ip6 daddr 2001:db8:25::25"] {
                chains
                    .forward
                    .push_str(&format!("\t\t{mail} tcp dport {{ 443, 993 }} counter accept\n"));
            }
        }
        Place::Router => chains.input.push_str("\t\ttcp dport { 443, 993 } counter accept\n"),
    }
    for rule in rules["firewall"].as_array().expect("a list of rules") {
        chains.add(rule);
    }
    let Chains { input, forward, dstnat } = chains;
    format!(
        "table inet fw4 {{
	chain input {{
		type filter hook input priority filter; policy drop;
		iif \"lo\" accept
		ct state vmap {{ established : accept, related : accept }}
		iifname \"wan0\" jump input_wan
		iifname \"lan0\" accept
	}}
	chain forward {{
		type filter hook forward priority filter; policy drop;
		ct state vmap {{ established : accept, related : accept }}
		iifname \"wan0\" jump forward_wan
		iifname \"lan0\" accept
	}}
	chain input_wan {{
		meta nfproto ipv6 meta l4proto ipv6-icmp counter accept
{input}		ct status dnat accept
		jump reject_from_wan
	}}
	chain forward_wan {{
		udp dport 9 accept
{forward}		ct status dnat accept
		jump reject_from_wan
	}}
	chain reject_from_wan {{
		iifname \"wan0\" {refuse}
	}}
	chain handle_reject {{
		meta l4proto tcp reject with tcp reset
		reject with icmpx type port-unreachable
	}}
	chain dstnat {{
		type nat hook prerouting priority dstnat; policy accept;
		iifname \"wan0\" jump dstnat_wan
	}}
	chain dstnat_wan {{
{dstnat}	}}
}}
"
    )
}
