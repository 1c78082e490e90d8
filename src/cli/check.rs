//! `lanward check`.

use super::text::check_text;
use super::{say, Exit};
use crate::check::{configuration, diagnose, Check};
use crate::daemon::Paths;
use crate::event::{Event, Netifd, Survey};
use crate::gather::{Gather, GatherInto};
use crate::json::{self, json};
use crate::network::Links;
use crate::report;
use crate::state::{Known, State};
use crate::system::clock::Clock;
use crate::system::router::facts_without_daemon;
use crate::system::ubus::CallError;
use serde_json::Value;

/// Prints a diagnosis. Any problem of the configuration is a wrong configuration, whether it restricts something or not.
pub(super) fn check(value: &Value, json: bool) -> Exit {
    let is_wrong = |check: &Value| check["severity"] == "error" || check["severity"] == "warning";
    let checks = findings(value);
    let exit = say(&if json { json::lines(value) } else { check_text(value) });
    match () {
        () if checks.iter().any(|check| is_of_the_file(check) && is_wrong(check)) => Exit::Configuration,
        () if checks.iter().any(|check| check["severity"] == "error") => Exit::Failed,
        () => exit,
    }
}

fn findings(value: &Value) -> &[Value] {
    value["checks"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_of_the_file(check: &Value) -> bool {
    check["name"] == "configuration"
}

/// The daemon's diagnosis with what the files say now; where it does not answer, the files' alone, and that.
pub(super) fn of_all(result: Result<Value, CallError>, paths: &Paths) -> Value {
    let theirs = match result {
        Ok(value) => value,
        Err(error) => return of_files(paths, Some(&error)),
    };
    match paths.texts().lanward {
        Ok(Some(_)) => {
            let known = known(paths);
            beside(&theirs, &configuration(&known.problems, &file(paths), known.is_silent))
        }
        Ok(None) => without(&theirs, &configuration(&[], &file(paths), true)),
        // Not for everybody to read: the daemon knows more.
        Err(_) => theirs,
    }
}

fn file(paths: &Paths) -> String {
    paths.config_dir.join("lanward").display().to_string()
}

/// That the file is gone, where the daemon has not seen that yet.
fn without(theirs: &Value, ours: &[Check]) -> Value {
    let (of_file, others): (Vec<&Value>, Vec<&Value>) =
        findings(theirs).iter().partition(|check| is_of_the_file(check));
    if of_file.iter().any(|check| check["ok"] == false) {
        return theirs.clone();
    }
    let ours = report::checks(ours);
    let checks: Vec<&Value> = findings(&ours).iter().chain(others).gathered();
    json!({ "checks": checks })
}

/// The daemon's findings of the configuration give way to those of the files as they are. Where the two differ, it has not loaded these.
fn beside(theirs: &Value, ours: &[Check]) -> Value {
    const SAYS: &str = "'lanward reload' loads it";
    let ours = report::checks(ours);
    let ours = findings(&ours);
    let (of_file, others): (Vec<&Value>, Vec<&Value>) =
        findings(theirs).iter().partition(|check| is_of_the_file(check));
    // What a key's file holds only the daemon has read.
    let is_of_a_key = |check: &Value| {
        check["message"]
            .as_str()
            .is_some_and(|text| text.ends_with("; it opens nothing"))
    };
    let (keys, of_file): (Vec<&Value>, Vec<&Value>) = of_file.into_iter().partition(|check| is_of_a_key(check));
    let is_news = ours
        .iter()
        .any(|check| check["ok"] == false && !of_file.contains(&check));
    let mut checks: Vec<Value> = ours
        .iter()
        .filter(|check| keys.is_empty() || check["ok"] == false)
        .cloned()
        .gathered();
    checks.extend(keys.into_iter().cloned());
    let old = of_file
        .into_iter()
        .filter(|check| check["ok"] == false && !ours.contains(check));
    checks.gather(old.map(|check| {
        let was = check["message"].as_str().unwrap_or_default().trim_end_matches('.');
        let message = format!("As it has read the file before: {was}. The file says something else now: {SAYS}.");
        json!({ "name": "daemon", "ok": false, "severity": check["severity"], "message": message })
    }));
    if is_news {
        let message = format!("It has not loaded the file as it is now: {SAYS}.");
        checks.push(json!({ "name": "daemon", "ok": false, "severity": "info", "message": message }));
    }
    checks.extend(others.into_iter().cloned());
    json!({ "checks": checks })
}

/// What the files come to, without the daemon: why it does not answer, or that it is not to be asked.
pub(super) fn of_files(paths: &Paths, error: Option<&CallError>) -> Value {
    let facts = facts_without_daemon(paths, known(paths), error);
    report::checks(&diagnose(&facts))
}

/// What is known from the files alone.
fn known(paths: &Paths) -> Known {
    let mut state = State::default();
    let now = Clock::start().now();
    drop(state.handle(Event::Configured(Box::new(paths.texts()), None), now));
    drop(state.handle(
        Event::Surveyed(Box::new(Survey {
            netifd: Netifd::NotAsked,
            links: Ok(Links::default()),
        })),
        now,
    ));
    state.known(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Problem, System};

    fn problem(option: &str, restricts: bool) -> Problem {
        Problem {
            system: System::LanOnly,
            option: option.into(),
            message: "is wrong".into(),
            restricts,
        }
    }

    #[test]
    fn a_file_that_went_after_the_daemon_read_it_is_missed() {
        let gone = configuration(&[], "lanward", true);
        let fine = report::checks(&configuration(&[], "lanward", false));
        let told = without(&fine, &gone);
        assert_eq!(told, report::checks(&gone));
        assert_eq!(check(&told, true) as u8, Exit::Configuration as u8);
        let refused = report::checks(&configuration(&[problem("lanward", true)], "lanward", false));
        assert_eq!(without(&refused, &gone), refused, "it has said so itself");
    }

    fn lines(theirs: &[Problem], ours: &[Problem]) -> Vec<String> {
        let mut checks = configuration(theirs, "/etc/config/lanward", false);
        checks.extend(
            configuration(&[problem("another", true)], "x", false)
                .into_iter()
                .map(|check| Check { name: "table", ..check }),
        );
        let value = beside(
            &report::checks(&checks),
            &configuration(ours, "/etc/config/lanward", false),
        );
        let lines = check_text(&value).lines().map(str::to_string).gathered();
        assert!(
            lines
                .last()
                .is_some_and(|line| line.starts_with("ERROR   table: another")),
            "{lines:?}"
        );
        lines
    }

    #[test]
    fn what_the_file_says_now_stands_beside_what_the_daemon_has_read() {
        let [level, host] = ["lanward.lan_only.level", "lanward.lan_only.host"].map(|option| problem(option, true));
        let key = Problem {
            message: "/x: no such file; it opens nothing".into(),
            ..problem("lanward.laptop.key_file", false)
        };
        let none: &[Problem] = &[];
        for (theirs, ours, expected) in [
            (
                none,
                none,
                &["ok      configuration: /etc/config/lanward has no problems."][..],
            ),
            (
                std::slice::from_ref(&level),
                std::slice::from_ref(&level),
                &["ERROR   configuration: lanward.lan_only.level"],
            ),
            (
                none,
                std::slice::from_ref(&level),
                &[
                    "ERROR   configuration: lanward.lan_only.level",
                    "note    daemon: It has not loaded the file",
                ],
            ),
            (
                std::slice::from_ref(&level),
                none,
                &[
                    "ok      configuration",
                    "ERROR   daemon: As it has read the file before: lanward.lan_only.level: is wrong",
                ],
            ),
            (
                &[level.clone(), key.clone()],
                &[host],
                &[
                    "ERROR   configuration: lanward.lan_only.host",
                    "warning configuration: lanward.laptop.key_file",
                    "ERROR   daemon: As it has read the file before: lanward.lan_only.level",
                    "note    daemon: It has not loaded the file",
                ],
            ),
            (
                std::slice::from_ref(&key),
                none,
                &["warning configuration: lanward.laptop.key_file"],
            ),
        ] {
            let lines = lines(theirs, ours);
            assert_eq!(lines.len(), expected.len() + 1, "{lines:#?}");
            for (line, begins) in lines.iter().zip(expected) {
                assert!(line.starts_with(begins), "{line}, not {begins}");
            }
        }
    }
}
