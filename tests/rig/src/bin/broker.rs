//! `lanward-broker SOCKET [ACL_DIRECTORY]`: the stand-in for ubusd as a program.

use lanward_rig::broker::Broker;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (socket, directory) = match arguments.as_slice() {
        [option, ..] if option.starts_with('-') => {
            eprintln!("usage: lanward-broker SOCKET [ACL_DIRECTORY]");
            return ExitCode::from(2);
        }
        [socket] => (socket, None),
        [socket, directory] => (socket, Some(Path::new(directory))),
        _ => {
            eprintln!("usage: lanward-broker SOCKET [ACL_DIRECTORY]");
            return ExitCode::from(2);
        }
    };
    match Broker::start_with_access(socket, directory) {
        Ok(broker) => {
            broker.wait();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lanward-broker: {socket}: {error}");
            ExitCode::FAILURE
        }
    }
}
