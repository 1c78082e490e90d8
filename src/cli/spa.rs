//! `lanward spa`: one authenticated packet, and new keys.

use super::parse::{Keygen, Spa, Whose};
use super::{complain, say, to_terminal, Exit};
use crate::keygen::{self, Access};
use crate::network::is_private;
use crate::spa::{seal, Keys, Request};
use crate::system::clock::Clock;
use crate::system::{client, keys};
use std::net::IpAddr;
use std::path::Path;

/// What ends a command: how, and what is said about it.
type Ended = (Exit, String);

fn failed(why: impl Into<String>) -> Ended {
    (Exit::Failed, why.into())
}

fn ended(result: Result<Exit, Ended>) -> Exit {
    result.unwrap_or_else(|(exit, why)| {
        complain(&format!("lanward: {why}"));
        exit
    })
}

pub(super) fn send(spa: &Spa) -> Exit {
    ended(try_to_send(spa))
}

fn try_to_send(spa: &Spa) -> Result<Exit, Ended> {
    let file = spa.key_file.display();
    let text = keys::read(&spa.key_file, client::user_id(), keys::SPA).map_err(failed)?;
    let keys = Keys::parse(&text).map_err(|error| failed(format!("{file}: {error}")))?;
    let mut to = client::resolve(&spa.host, spa.family).map_err(failed)?;
    to.set_port(spa.port);
    let (socket, own) = client::towards(to).map_err(|error| failed(format!("{to}: {error}")))?;
    let address = match spa.address {
        Whose::This(address) => Some(address),
        Whose::Source => None,
        Whose::Own if is_private(own) && !is_private(to.ip()) => return Err(behind_nat(own)),
        Whose::Own => Some(own),
    };
    let request = Request {
        address,
        ports: spa.ports.clone(),
        seconds: spa.seconds,
        sent: Clock::start().now().unix,
        user: client::user().unwrap_or_else(|| "user".into()),
    };
    let random = keys::random().map_err(failed)?;
    let packet = seal(&request, &keys, spa.digest, &random).map_err(failed)?;
    socket
        .send(packet.as_bytes())
        .map_err(|error| failed(format!("{to}: {error}")))?;
    let whom = address.map_or_else(
        || "whoever this packet comes from".into(),
        |address| address.to_string(),
    );
    Ok(say(&format!(
        "asked {to} (udp) to let {whom} in; it never answers: try now\n"
    )))
}

fn behind_nat(own: IpAddr) -> Ended {
    let why = format!(
        "this machine's address, {own}, is not the one that the router sees: give --address with the public one, or --address source (whoever the packet comes from)"
    );
    (Exit::Usage, why)
}

pub(super) fn keygen(keygen: &Keygen, directory: &Path) -> Exit {
    ended(make(keygen, directory))
}

fn make(keygen: &Keygen, directory: &Path) -> Result<Exit, Ended> {
    let usage = |error| (Exit::Usage, format!("spa keygen: {error}"));
    let usual = keys::path(directory, &keygen.name).map_err(usage)?;
    let path = keygen.key_file.as_deref().unwrap_or(&usual);
    // The section has to name it whole, and between quotes.
    let path = std::path::absolute(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    let fits = |text: &&str| !text.chars().any(|letter| letter == '\'' || letter.is_control());
    let shown = path.to_str().filter(fits).ok_or_else(|| {
        usage(format!(
            "'{}' cannot be written in UCI",
            path.display().to_string().escape_debug()
        ))
    })?;
    let access = Access {
        name: &keygen.name,
        host: keygen.host.as_deref(),
        ports: &keygen.access,
        port: keygen.port,
        digest: keygen.digest,
    };
    let random = keys::random().map_err(failed)?;
    let keys = Keys::from_random(&random);
    // All is made before anything is written: what goes wrong leaves no key behind.
    let stanza = keygen::stanza(&access, &keys).map_err(usage)?;
    let rows = keygen::qr(&keygen::qr_text(&keys)).map_err(failed)?;
    keys::create(&path, keys.file().as_bytes()).map_err(failed)?;
    let drawn = keygen::drawn(&rows, to_terminal());
    let section = keygen::section(&access, &keygen.gate, shown);
    let whose = if keygen.host.is_some() {
        ""
    } else {
        " (SPA_SERVER: the router's own name or address)"
    };
    let parts = [
        &format!(
            "# Made {}, which is for the router. For /etc/config/lanward there:\n",
            path.display()
        ),
        &section,
        &format!("\n# For ~/.fwknoprc{whose}, then: fwknop -n {}\n", keygen.name),
        stanza.as_str(),
        "\n# For the app Fwknop2 on a phone: new configuration, scan. Whoever has this code has the key.\n",
        drawn.as_str(),
    ];
    let mut done = Exit::Done;
    for part in parts {
        if say(part) != Exit::Done {
            done = Exit::Failed;
        }
    }
    Ok(done)
}
