//! rpcd's object `uci` (`uci.c` of openwrt/rpcd): what a session has changed and not applied, applying with a time to confirm, and the way
//! back. Files are read by lanward's own reader, and written plainly.

use lanward::system::ubus::Status;
use lanward::uci::{self, Value as Held};
use serde_json::{json, Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long rpcd waits to be told that all is well, if nobody says how long.
const CONFIRM: u64 = 30;

/// A call, read.
pub enum Change {
    Get {
        config: String,
        section: Option<String>,
        kind: Option<String>,
        option: Option<String>,
    },
    Changes {
        config: Option<String>,
    },
    Add {
        config: String,
        kind: String,
        name: Option<String>,
        values: Map<String, Value>,
    },
    Set {
        config: String,
        section: String,
        values: Map<String, Value>,
    },
    Delete {
        config: String,
        section: String,
        options: Option<Vec<String>>,
    },
    Order {
        config: String,
        sections: Vec<String>,
    },
    Revert {
        config: String,
    },
    Commit {
        config: String,
    },
    Apply {
        rollback: bool,
        timeout: Duration,
    },
    Confirm,
}

impl Change {
    /// Reads a call's arguments.
    ///
    /// # Errors
    /// The status that rpcd has for what it does not understand.
    pub fn of(method: &str, arguments: &Map<String, Value>) -> Result<Self, Status> {
        let maybe = |name: &str| match arguments.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Status::InvalidArgument),
        };
        let text = |name: &str| maybe(name)?.ok_or(Status::InvalidArgument);
        let list = |name: &str| -> Option<Vec<String>> {
            let values = arguments.get(name)?.as_array()?;
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
        };
        let values = || arguments.get("values").and_then(Value::as_object).cloned();
        Ok(match method {
            "get" => Self::Get {
                config: text("config")?,
                section: maybe("section")?,
                kind: maybe("type")?,
                option: maybe("option")?,
            },
            "changes" => Self::Changes {
                config: maybe("config")?,
            },
            "add" => {
                let (config, kind, name) = (text("config")?, text("type")?, maybe("name")?);
                Self::Add {
                    config,
                    kind,
                    name,
                    values: values().unwrap_or_default(),
                }
            }
            "set" => {
                let values = values().ok_or(Status::InvalidArgument)?;
                Self::Set {
                    config: text("config")?,
                    section: text("section")?,
                    values,
                }
            }
            "delete" => {
                let options = list("options").or(maybe("option")?.map(|option| vec![option]));
                Self::Delete {
                    config: text("config")?,
                    section: text("section")?,
                    options,
                }
            }
            "order" => Self::Order {
                config: text("config")?,
                sections: list("sections").ok_or(Status::InvalidArgument)?,
            },
            "revert" => Self::Revert {
                config: text("config")?,
            },
            "commit" => Self::Commit {
                config: text("config")?,
            },
            "apply" => {
                let seconds = arguments.get("timeout").and_then(Value::as_u64).unwrap_or(CONFIRM);
                let rollback = arguments.get("rollback").and_then(Value::as_bool).unwrap_or(false);
                Self::Apply {
                    rollback,
                    timeout: Duration::from_secs(seconds),
                }
            }
            "confirm" => Self::Confirm,
            _ => return Err(Status::MethodNotFound),
        })
    }
}

/// One line of what a session has changed, as `uci changes` has it: `["set", SECTION, OPTION, VALUE]`, …
type Line = Vec<String>;
/// By configuration.
type Staged = BTreeMap<String, Vec<Line>>;

#[derive(Clone)]
struct Section {
    id: String,
    kind: String,
    is_anonymous: bool,
    options: Vec<(String, Held)>,
}

/// What waits to be confirmed, and the way back.
struct Pending {
    sid: String,
    due: Instant,
    files: BTreeMap<String, Vec<u8>>,
    staged: Staged,
}

/// A directory of configurations, and what the sessions mean to do with them.
pub struct Uci {
    directory: PathBuf,
    staged: BTreeMap<String, Staged>,
    pending: Option<Pending>,
    made: u32,
}

/// Whether a session may `read` or `write` a configuration.
type May<'a> = &'a dyn Fn(&str, &str) -> bool;
/// A call's reply and the configurations that became others.
type Done = Result<(Option<Value>, Vec<String>), Status>;

impl Uci {
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            staged: BTreeMap::new(),
            pending: None,
            made: 0,
        }
    }

    /// Whether the time to confirm is over.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.due <= now)
    }

    /// Whether this session has to confirm something.
    pub fn awaits(&self, sid: &str) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.sid == sid)
    }

    /// Brings back what was before, files and changes. The configurations that became others.
    pub fn roll_back(&mut self) -> Vec<String> {
        let Some(pending) = self.pending.take() else {
            return Vec::new();
        };
        for (config, text) in &pending.files {
            let _ = fs::write(self.directory.join(config), text);
        }
        self.staged.insert(pending.sid, pending.staged);
        pending.files.into_keys().collect()
    }

    /// Does what a session asks for.
    ///
    /// # Errors
    /// The status's number for what it may not do, what is not there, what makes no sense.
    pub fn call(&mut self, sid: &str, change: &Change, may: May) -> Done {
        let allow = |config: &str, function: &str| {
            if may(config, function) {
                Ok(())
            } else {
                Err(Status::PermissionDenied)
            }
        };
        match change {
            Change::Get {
                config,
                section,
                kind,
                option,
            } => {
                allow(config, "read")?;
                let sections = self.load(sid, config)?;
                let found = get(&sections, section.as_deref(), kind.as_deref(), option.as_deref());
                found.map(|reply| (Some(reply), Vec::new()))
            }
            Change::Changes { config } => {
                let staged = self.staged.get(sid);
                let readable = staged
                    .into_iter()
                    .flatten()
                    .filter(|(config, lines)| !lines.is_empty() && may(config, "read"));
                let changes = match config {
                    None => json!(readable.collect::<BTreeMap<_, _>>()),
                    Some(config) => {
                        allow(config, "read")?;
                        json!(staged
                            .and_then(|staged| staged.get(config))
                            .cloned()
                            .unwrap_or_default())
                    }
                };
                Ok((Some(json!({ "changes": changes })), Vec::new()))
            }
            Change::Add {
                config,
                kind,
                name,
                values,
            } => {
                allow(config, "write")?;
                let id = self.add(sid, config, kind, name.as_deref(), values)?;
                Ok((Some(json!({ "section": id })), Vec::new()))
            }
            Change::Set {
                config,
                section,
                values,
            } => {
                allow(config, "write")?;
                let sections = self.load(sid, config)?;
                let id = resolve(&sections, section).ok_or(Status::NotFound)?.id.clone();
                let lines = set(&sections, &id, values)?;
                self.stage(sid, config, lines)
            }
            Change::Delete {
                config,
                section,
                options,
            } => {
                allow(config, "write")?;
                let sections = self.load(sid, config)?;
                let id = resolve(&sections, section).ok_or(Status::NotFound)?.id.clone();
                let line = |option: &String| vec!["remove".to_owned(), id.clone(), option.clone()];
                let lines = match options {
                    None => vec![vec!["remove".to_owned(), id.clone()]],
                    Some(options) => options.iter().map(line).collect(),
                };
                self.stage(sid, config, lines)
            }
            Change::Order { config, sections } => {
                allow(config, "write")?;
                let at = |(place, id): (usize, &String)| vec!["order".to_owned(), id.clone(), place.to_string()];
                self.stage(sid, config, sections.iter().enumerate().map(at).collect())
            }
            Change::Revert { config } => {
                allow(config, "write")?;
                self.staged.entry(sid.to_owned()).or_default().remove(config);
                Ok((None, Vec::new()))
            }
            Change::Commit { config } => {
                allow(config, "write")?;
                self.commit(sid, config)?;
                Ok((None, vec![config.clone()]))
            }
            Change::Apply { rollback, timeout } => self.apply(sid, rollback.then_some(*timeout), may),
            Change::Confirm => match &self.pending {
                None => Err(Status::NoData),
                Some(pending) if pending.sid != sid => Err(Status::PermissionDenied),
                Some(_) => {
                    self.pending = None;
                    Ok((None, Vec::new()))
                }
            },
        }
    }

    fn add(
        &mut self,
        sid: &str,
        config: &str,
        kind: &str,
        name: Option<&str>,
        values: &Map<String, Value>,
    ) -> Result<String, Status> {
        if !is_name(kind) || !name.is_none_or(is_name) {
            return Err(Status::InvalidArgument);
        }
        let mut sections = self.load(sid, config)?;
        let (id, line) = match name {
            Some(name) => (name.to_owned(), ["set", name, kind]),
            None => {
                self.made += 1;
                (format!("cfg{:06x}", 0x00f0_0000 + self.made), ["add", "", kind])
            }
        };
        let mut line: Line = line.map(str::to_owned).into();
        line[1].clone_from(&id);
        apply_line(&mut sections, &line);
        let mut lines = vec![line];
        lines.extend(set(&sections, &id, values)?);
        self.stage(sid, config, lines)?;
        Ok(id)
    }

    fn stage(&mut self, sid: &str, config: &str, lines: Vec<Line>) -> Done {
        let staged = self.staged.entry(sid.to_owned()).or_default();
        staged.entry(config.to_owned()).or_default().extend(lines);
        Ok((None, Vec::new()))
    }

    fn apply(&mut self, sid: &str, confirm: Option<Duration>, may: May) -> Done {
        if self.pending.is_some() {
            return if confirm.is_some() {
                Err(Status::PermissionDenied)
            } else {
                Ok((None, Vec::new()))
            };
        }
        let staged = self.staged.get(sid).cloned().unwrap_or_default();
        let configs: Vec<String> = staged
            .iter()
            .filter(|(_, lines)| !lines.is_empty())
            .map(|(config, _)| config.clone())
            .collect();
        if configs.is_empty() {
            return Err(Status::NoData);
        }
        if configs.iter().any(|config| !may(config, "write")) {
            return Err(Status::PermissionDenied);
        }
        let mut files = BTreeMap::new();
        for config in &configs {
            files.insert(
                config.clone(),
                fs::read(self.directory.join(config)).map_err(|_| Status::NotFound)?,
            );
            self.commit(sid, config)?;
        }
        if let Some(timeout) = confirm {
            let due = Instant::now() + timeout;
            self.pending = Some(Pending {
                sid: sid.to_owned(),
                due,
                files,
                staged,
            });
        }
        Ok((None, configs))
    }

    fn commit(&mut self, sid: &str, config: &str) -> Result<(), Status> {
        let text = write(&self.load(sid, config)?);
        let path = self.directory.join(config);
        let new = path.with_extension("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|_| Status::UnknownError)?;
        self.staged.entry(sid.to_owned()).or_default().remove(config);
        Ok(())
    }

    /// A configuration as the session sees it.
    fn load(&self, sid: &str, config: &str) -> Result<Vec<Section>, Status> {
        if !is_name(config) {
            return Err(Status::InvalidArgument);
        }
        let text = fs::read(self.directory.join(config)).map_err(|_| Status::NotFound)?;
        let package = uci::parse(&text).map_err(|_| Status::UnknownError)?;
        let mut sections: Vec<Section> = Vec::new();
        for (place, section) in package.sections.into_iter().enumerate() {
            let made_up = || format!("cfg{:02x}{:04x}", place + 1, section.kind.len());
            sections.push(Section {
                id: section.name.clone().unwrap_or_else(made_up),
                is_anonymous: section.name.is_none(),
                kind: section.kind,
                options: section.options,
            });
        }
        let staged = self.staged.get(sid).and_then(|staged| staged.get(config));
        for line in staged.into_iter().flatten() {
            apply_line(&mut sections, line);
        }
        Ok(sections)
    }
}

fn get(sections: &[Section], section: Option<&str>, kind: Option<&str>, option: Option<&str>) -> Result<Value, Status> {
    let all = || sections.iter().enumerate();
    let Some(section) = section else {
        let wanted = all().filter(|(_, section)| kind.is_none_or(|kind| section.kind == kind));
        let values: Map<String, Value> = wanted
            .map(|(at, section)| (section.id.clone(), shown(at, section)))
            .collect();
        return Ok(json!({ "values": values }));
    };
    let id = &resolve(sections, section).ok_or(Status::NotFound)?.id;
    let (at, section) = all().find(|(_, section)| &section.id == id).ok_or(Status::NotFound)?;
    match option {
        None => Ok(json!({ "values": shown(at, section) })),
        Some(option) => {
            let found = section.options.iter().find(|(name, _)| name == option);
            found
                .map(|(_, value)| json!({ "value": held(value) }))
                .ok_or(Status::NotFound)
        }
    }
}

fn shown(at: usize, section: &Section) -> Value {
    let mut shown =
        json!({ ".anonymous": section.is_anonymous, ".type": section.kind, ".name": section.id, ".index": at });
    for (name, value) in &section.options {
        shown[name] = held(value);
    }
    shown
}

fn held(value: &Held) -> Value {
    match value {
        Held::One(text) => json!(text),
        Held::Many(texts) => json!(texts),
    }
}

/// The lines that set these options of a section.
fn set(sections: &[Section], id: &str, values: &Map<String, Value>) -> Result<Vec<Line>, Status> {
    let section = sections
        .iter()
        .find(|section| section.id == id)
        .ok_or(Status::NotFound)?;
    let mut lines = Vec::new();
    for (option, value) in values {
        if !is_name(option) {
            return Err(Status::InvalidArgument);
        }
        let line = |verb: &str| vec![verb.to_owned(), id.to_owned(), option.clone()];
        let before = section
            .options
            .iter()
            .find(|(name, _)| name == option)
            .map(|(_, value)| value);
        let is_list = value.is_array() || matches!(before, Some(Held::Many(_)));
        if before.is_some() && is_list {
            lines.push(line("remove"));
        }
        let (verb, values) = match value {
            Value::Array(values) => ("list-add", values.as_slice()),
            value => ("set", std::slice::from_ref(value)),
        };
        for value in values {
            let mut line = line(verb);
            line.push(plain(value).ok_or(Status::InvalidArgument)?);
            lines.push(line);
        }
    }
    Ok(lines)
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(is_set) => Some(u8::from(*is_set).to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn apply_line(sections: &mut Vec<Section>, line: &Line) {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let place = |sections: &[Section], id: &str| sections.iter().position(|section| section.id == id);
    match *words.as_slice() {
        ["add" | "set", id, kind] if place(sections, id).is_none() => sections.push(Section {
            id: id.to_owned(),
            kind: kind.to_owned(),
            is_anonymous: words[0] == "add",
            options: Vec::new(),
        }),
        ["remove", id] => sections.retain(|section| section.id != id),
        ["order", id, to] => {
            if let Some(from) = place(sections, id) {
                let section = sections.remove(from);
                let to = to.parse().unwrap_or(usize::MAX).min(sections.len());
                sections.insert(to, section);
            }
        }
        [verb, id, option, ref value @ ..] => {
            let Some(section) = sections.iter_mut().find(|section| section.id == id) else {
                return;
            };
            let held = section.options.iter_mut().find(|(name, _)| name == option);
            match (verb, value, held) {
                ("remove", _, _) => section.options.retain(|(name, _)| name != option),
                ("list-add", [value], Some((_, Held::Many(values)))) => values.push((*value).to_owned()),
                ("list-add", [value], None) => section
                    .options
                    .push((option.to_owned(), Held::Many(vec![(*value).to_owned()]))),
                // An empty value means that it is not set.
                ("set", [""], _) => section.options.retain(|(name, _)| name != option),
                ("set", [value], Some((_, held))) => *held = Held::One((*value).to_owned()),
                ("set", [value], None) => section
                    .options
                    .push((option.to_owned(), Held::One((*value).to_owned()))),
                _ => {}
            }
        }
        _ => {}
    }
}

/// A section by its name, or by `@TYPE[INDEX]`.
fn resolve<'a>(sections: &'a [Section], name: &str) -> Option<&'a Section> {
    let Some((kind, index)) = name
        .strip_prefix('@')
        .and_then(|rest| rest.strip_suffix(']')?.split_once('['))
    else {
        return sections.iter().find(|section| section.id == name);
    };
    let mut of_kind = sections.iter().filter(|section| section.kind == kind);
    of_kind.nth(index.parse().ok()?)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || b"_-".contains(&letter))
}

fn write(sections: &[Section]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let mut text = String::new();
    for section in sections {
        let _ = write!(text, "\nconfig {}", section.kind);
        if !section.is_anonymous {
            let _ = write!(text, " {}", quoted(&section.id));
        }
        text.push('\n');
        for (name, value) in &section.options {
            match value {
                Held::One(value) => {
                    let _ = writeln!(text, "\toption {name} {}", quoted(value));
                }
                Held::Many(values) => {
                    for value in values {
                        let _ = writeln!(text, "\tlist {name} {}", quoted(value));
                    }
                }
            }
        }
    }
    text
}
