//! The rig's real servers and clients, without anything of lanward's between them.

use lanward_rig::house::{Family, House, FAMILIES};
use lanward_rig::report_line::{skip, this_test};
use lanward_rig::servers::{Keys, Login, Server};

fn house() -> Option<House> {
    match House::plan().build() {
        Ok(house) => Some(house),
        Err(error) => {
            skip(&this_test(), &format!("no network namespaces here (root is needed): {error}"));
            None
        }
    }
}

#[test]
fn real_servers_answer_real_clients() {
    let Some(house) = house() else { return };
    let keys = Keys::make(&house);
    let (lan, lan2) = (house.host("lan"), house.host("lan2"));
    let servers = [
        Server::openssh(&lan2.namespace, 22, &keys),
        Server::dropbear(&lan2.namespace, 2222, &keys),
        Server::imaps(&lan2.namespace, 993, &keys),
    ];
    for family in FAMILIES {
        let caller = keys.call(lan, lan2.address(family));
        for port in [22, 2222] {
            let server = format!("{} {port}", lan2.address(family));
            assert_eq!(caller.ssh(port), Login::In(server), "{}", servers[0].log());
            let mut session = caller.ssh_session(port);
            assert!(session.echoes());
            session.close();
        }
        assert_eq!(caller.ssh(23), Login::Refused);
        assert_eq!(caller.check_mail(993), Ok(()), "{}", servers[2].log());
        let mut session = caller.mail_session(993);
        assert!(session.mail_answers());
        session.log_out();
        caller.check_mail(994).expect_err("nobody listens there");
    }
    drop(servers);
    let caller = keys.call(lan, lan2.address(Family::V4));
    assert_eq!(caller.ssh(22), Login::Refused, "they are gone");
    caller.check_mail(993).expect_err("they are gone");
}
