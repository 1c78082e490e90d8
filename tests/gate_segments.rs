//! Segments that conntrack counts among what has begun, although a connection begins with them: they are no way past a gate.

use lanward_rig::house::{Family, FAMILIES};
use lanward_rig::recent::{Act, Place, Router, Service, Source, Step, Terms, Verdict};
use lanward_rig::report_line::{skip, this_test};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

/// Seconds.
const WINDOW: u32 = 2;

fn router(terms: &Terms) -> Option<Router> {
    let router = Router::of_lanward(terms);
    router
        .map_err(|error| {
            skip(
                &this_test(),
                &format!("no router here (root and TUN devices are needed): {error}"),
            );
        })
        .ok()
}

fn each_way() -> Vec<(Terms, Family)> {
    let mut all = Vec::new();
    for (refuse, place) in ["zone", "reset", "drop"]
        .into_iter()
        .flat_map(|refuse| [(refuse, Place::Behind), (refuse, Place::Router)])
    {
        let terms = Terms {
            refuse,
            place,
            window: WINDOW,
            ..Terms::default()
        };
        all.extend(FAMILIES.map(|family| (terms.clone(), family)));
    }
    all
}

fn step(family: Family, service: Service, act: Act) -> Step {
    Step {
        source: Source { family, number: 9 },
        service,
        session: 0,
        act,
    }
}

/// A conntrack entry may outlive its connection for days: the server was started anew, or the client has never answered its FIN. Conntrack
/// lets a SYN on such an entry pass, as a part of it, until it sees what the server says.
#[test]
fn a_syn_on_an_old_entry_is_judged_as_any_other() {
    // The router's own sockets would still know the connection.
    for (terms, family) in each_way().into_iter().filter(|(terms, _)| terms.place == Place::Behind) {
        let Some(mut router) = router(&terms) else { return };
        let mut says = |service, act, port| router.perform(&step(family, service, act), port)[0];
        for service in [Service::Imaps, Service::Ssh] {
            assert_eq!(says(service, Act::Syn, 4000), Verdict::Accepted, "{terms:?} {family}");
            assert_eq!(says(service, Act::Ack, 4000), Verdict::Arrived, "{terms:?} {family}");
        }
        sleep(Duration::from_millis(u64::from(WINDOW) * 1000 + 300));
        let refused = says(Service::Ssh, Act::Syn, 4001);
        assert_ne!(refused, Verdict::Accepted, "{terms:?} {family}: the window is over");
        let again = says(Service::Ssh, Act::Syn, 4000);
        assert_ne!(again, Verdict::Accepted, "{terms:?} {family}");
        // Nobody but a listed source begins anew, and that one does.
        says(Service::Imaps, Act::Syn, 4002);
        says(Service::Imaps, Act::Ack, 4002);
        assert_eq!(
            says(Service::Ssh, Act::Syn, 4000),
            Verdict::Accepted,
            "{terms:?} {family}"
        );
    }
}

/// A helper (FTP, SIP) that reads an address and a port in somebody's packets makes conntrack expect a connection there, which the firewall accepts.
#[test]
fn a_connection_that_conntrack_expects_is_judged_as_any_other() {
    for (terms, family) in each_way() {
        let Some(mut router) = router(&Terms {
            window: 60,
            ..terms.clone()
        }) else {
            return;
        };
        let (l3, outside) = match family {
            Family::V4 => ("ip", "203.0.113.9"),
            Family::V6 => ("ip6", "2001:db8:9::9"),
        };
        router.namespace.nft(&format!(
            "table inet helper {{
                ct expectation ssh {{ protocol tcp; dport 22; timeout 1m; size 8; l3proto {l3}; }}
                chain output {{ type filter hook output priority 0; tcp dport 8888 ct expectation set \"ssh\"; }}
            }}"
        ));
        let outside = SocketAddr::new(outside.parse().unwrap(), 8888);
        let connects = router
            .namespace
            .run(|| TcpStream::connect_timeout(&outside, Duration::from_millis(50)));
        assert!(connects.is_err(), "nobody is there");
        let expected = router
            .namespace
            .run(|| std::fs::read_to_string("/proc/thread-self/net/nf_conntrack_expect"));
        assert!(
            expected.unwrap().contains("dport=22"),
            "{terms:?} {family}: nothing is expected"
        );
        let seen = router.perform(&step(family, Service::Ssh, Act::Syn), 4000)[0];
        assert_ne!(seen, Verdict::Accepted, "{terms:?} {family}");
    }
}
