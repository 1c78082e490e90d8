//! netifd's stand-in on the broker: what it answers, and that it says when something changed.

use lanward::system::ubus::frame::{Builder, Type};
use lanward::system::ubus::{call_once, Client};
use lanward_rig::broker::Broker;
use lanward_rig::netifd::Netifd;
use lanward_rig::scratch::Scratch;
use lanward_rig::settings::{interface_dump, interfaces, wan6};
use serde_json::{json, Map, Value};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn it_answers_with_the_house_and_tells_of_changes() {
    let scratch = Scratch::new("netifd");
    let socket = scratch.socket();
    let _broker = Broker::start(&socket).expect("a socket in a directory of our own");
    let mut rooms = interfaces();
    let netifd = Netifd::start(&socket, interface_dump(&rooms)).expect("it gets on the bus");
    let dump = || call_once(&socket, "network.interface", "dump", &Map::new(), PATIENCE).expect("an answer");
    let devices = |dump: &Value| {
        let rows = dump["interface"].as_array().expect("a list").clone();
        rows.iter()
            .map(|row| row["l3_device"].as_str().unwrap_or("none").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(devices(&dump()), ["br-lan", "vpn0", "wan0", "lo"]);

    let mut listener = Client::connect(&socket, PATIENCE).expect("the bus is there");
    let mut own = 0_u32;
    let nameless = |sequence| Builder::new(Type::AddObject, sequence, 0);
    listener
        .request(0, nameless, |data| own = data.parse().object.unwrap_or(0))
        .expect("an answer");
    let mut register = Map::new();
    // Object ids are 32 bit without a sign, blobmsg's numbers have one.
    register.insert("object".to_owned(), json!(i32::from_be_bytes(own.to_be_bytes())));
    register.insert("pattern".to_owned(), json!("network.interface"));
    listener
        .invoke(1, "register", &register, |_| {})
        .expect("root may listen");

    rooms.push(wan6());
    netifd.change(interface_dump(&rooms));
    let event = listener.receive(Some(Instant::now() + PATIENCE)).expect("the event");
    assert_eq!(event.parse().method, Some(b"network.interface".as_slice()));
    assert_eq!(devices(&dump()), ["br-lan", "vpn0", "wan0", "wan6", "lo"]);
    rooms[2].become_pppoe();
    netifd.change(interface_dump(&rooms));
    assert_eq!(
        devices(&dump()),
        ["br-lan", "vpn0", "none", "wan6", "lo"],
        "an interface that is down has none"
    );
}
