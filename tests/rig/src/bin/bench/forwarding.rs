//! What everything together costs the packets that pass through: one router, and its table taken away and put back in turns, so that nothing else differs.
//!
//! "An empty table" is one without chains: to a packet it is the same as none. Beside it stands a table that has our base chains and nothing in them: what
//! the hooks cost by themselves, whatever the rules. 4096 addresses are listed in each family.

use crate::routers::{Router, Rules};
use crate::{beside, say, unit, Report};
use lanward_rig::bench::Clock;
use lanward_rig::house::FAMILIES;

/// `false` where the machine does not allow it.
pub fn measure(rounds: u32, report: &mut Report) -> bool {
    say("building a router with everything switched on");
    let Some(mut router) = Router::start(Rules::All) else {
        return false;
    };
    let kinds = ["downloaded", "uploaded", "of QUIC, going out", "of an admitted session"];
    let packets = FAMILIES.map(|family| {
        [
            router.of_a_download(family),
            router.of_an_upload(family),
            router.of_quic(family),
            router.of_a_session(family),
        ]
    });
    router.deafen();
    let script = router.leave_to_nft();
    let hooks = format!("{script}flush table inet lanward\n");
    let (states, names) = ([script.as_str(), "", hooks.as_str()], ["empty table", "hooks alone"]);
    let clock = Clock::choose(|clock| {
        let _ = router.forward(&packets[0][0], clock);
    });
    for (family, packets) in FAMILIES.into_iter().zip(packets) {
        for (number, (kind, packet)) in kinds.into_iter().zip(packets).enumerate() {
            say(&format!("packets {kind}, over {family}"));
            let goes_out = matches!(number, 1 | 2);
            // conntrack forgets an exchange of datagrams in half a minute: it begins now.
            let packet = if number == 2 { router.of_quic(family) } else { packet };
            let once = || match goes_out {
                true => router.forward_out(&packet, clock),
                false => router.forward(&packet, clock),
            };
            let cost = |which: usize| {
                let begin = "table inet lanward\ndelete table inet lanward\ntable inet lanward\n";
                router.house().router().nft(&[begin, states[which]].concat());
                // The first packets find nothing in the caches; of the others, the least is what nobody disturbed.
                once();
                (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
            };
            let what = format!("packets {} {kind}, {family}, all systems on", unit(clock));
            beside(report, &what, names, rounds, &cost);
        }
    }
    true
}
