//! The page beside what it stands on: the bus's methods, its own files, both languages, and the format of the catalogue.
//! What the page does is tried in a browser: `tests/browser.rs`.

#![allow(clippy::unwrap_used)]

use lanward::report::METHODS;
use lanward_rig::report_line::skip;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What changes nothing. Everything else is for sessions that may write.
const READS: [&str; 6] = ["status", "preview", "gate_list", "history", "relay_list", "check"];

/// Methods of the contract that the daemon does not have yet.
const PLANNED: [&str; 3] = ["history", "relay_list", "relay_restart"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn app() -> PathBuf {
    root().join("luci-app/luci-app-lanward")
}

fn resources() -> PathBuf {
    app().join("htdocs/luci-static/resources")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &str) -> Value {
    serde_json::from_str(&read(&app().join(path))).unwrap()
}

fn acl() -> Value {
    json("root/usr/share/rpcd/acl.d/luci-app-lanward.json")["luci-app-lanward"].clone()
}

fn menu() -> Value {
    json("root/usr/share/luci/menu.d/luci-app-lanward.json")
}

/// All files below the app's directory with this ending, sorted.
fn files(ending: &str) -> Vec<PathBuf> {
    fn below(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(&app(), &mut found);
    found.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    found.sort();
    assert!(!found.is_empty(), "no .{ending} file");
    found
}

fn granted(scope: &str) -> BTreeSet<String> {
    let methods = acl()[scope]["ubus"]["lanward"].as_array().unwrap().clone();
    let names: BTreeSet<String> = methods.iter().map(|name| name.as_str().unwrap().to_string()).collect();
    assert_eq!(names.len(), methods.len(), "{scope} names one twice");
    names
}

#[test]
fn reading_and_writing_are_granted_apart_and_each_method_once() {
    let (read, write) = (granted("read"), granted("write"));
    assert_eq!(read, READS.map(String::from).into());
    assert_eq!(read.intersection(&write).count(), 0);
    let known: BTreeSet<String> = METHODS.iter().map(|method| method.name.to_string()).collect();
    let all: BTreeSet<String> = read.union(&write).cloned().collect();
    let missing: Vec<&String> = known.difference(&all).collect();
    assert!(missing.is_empty(), "granted to nobody: {missing:?}");
    let ahead: BTreeSet<String> = all.difference(&known).cloned().collect();
    assert_eq!(ahead, PLANNED.map(String::from).into());
}

#[test]
fn nothing_but_the_daemon_and_its_file_can_be_changed() {
    // What the pages read beside the daemon: names of hosts and zones, and what the package says of applications.
    let mut acl = acl();
    for scope in ["read", "write"] {
        acl[scope]["ubus"].as_object_mut().unwrap().remove("lanward");
    }
    let read = serde_json::json!({
        // rpcd wants both: the right to ask for a file, and the right to this one.
        "ubus": { "luci-rpc": ["getHostHints"], "file": ["read"] },
        "file": { "/usr/share/lanward/profiles.json": ["read"] },
        "uci": ["lanward", "firewall"],
    });
    assert_eq!(acl["read"], read);
    assert_eq!(acl["write"], serde_json::json!({ "ubus": {}, "uci": ["lanward"] }));
}

/// The page's declarations: `status: declare('status', [ 'a', 'b' ])`.
#[test]
fn the_page_calls_what_the_daemon_has_with_its_arguments() {
    let tools = read(&resources().join("tools/lanward.js"));
    let mut declared = BTreeSet::new();
    for (at, _) in tools.match_indices(": declare('") {
        let call = &tools[at + ": declare(".len()..];
        let call = &call[..call.find(')').unwrap()];
        let words: Vec<&str> = call.split('\'').skip(1).step_by(2).collect();
        let method = METHODS.iter().find(|method| method.name == words[0]);
        let method = method.unwrap_or_else(|| panic!("the daemon has no '{}'", words[0]));
        let arguments: Vec<&str> = method.arguments.iter().map(|(name, _)| *name).collect();
        assert_eq!(words[1..], arguments, "{}", method.name);
        assert!(tools.contains(&format!("\t{0}: declare('{0}'", words[0])));
        declared.insert(words[0].to_string());
    }
    assert!(declared.len() > 5, "the declarations were not found");
    let granted: BTreeSet<String> = granted("read").union(&granted("write")).cloned().collect();
    assert!(declared.is_subset(&granted));
    for path in files("js") {
        let text = read(&path);
        let calls = text
            .match_indices("lanward.call('")
            .chain(text.match_indices("this.act('"));
        for (at, opening) in calls {
            let name = text[at + opening.len()..].split('\'').next().unwrap();
            assert!(declared.contains(name), "{}: {name} is not declared", path.display());
        }
    }
}

#[test]
fn the_menu_leads_to_files_that_are_there() {
    let menu = menu();
    let (mut views, mut functions) = (0, 0);
    for (path, entry) in menu.as_object().unwrap() {
        let action = &entry["action"];
        // Without a title it shows nowhere; only what is no page goes without.
        let is_page = action["type"] != "function";
        assert_eq!(entry["title"].is_string() && entry["order"].is_u64(), is_page, "{path}");
        match action["type"].as_str().unwrap() {
            "view" => {
                let view = format!("view/{}.js", action["path"].as_str().unwrap());
                assert!(resources().join(&view).is_file(), "{path}: {view}");
                views += 1;
            }
            "function" => {
                let module = action["module"].as_str().unwrap();
                let file = module.strip_prefix("luci.").unwrap().replace('.', "/");
                let source = read(&app().join(format!("root/usr/share/ucode/luci/{file}.uc")));
                let function = format!("{}: function(", action["function"].as_str().unwrap());
                assert!(source.contains(&function), "{path}: {module} has no {function}");
                let url = path.trim_start_matches('/');
                assert!(read(&resources().join("tools/lanward.js")).contains(&format!("L.url('{url}')")));
                functions += 1;
            }
            other => assert_eq!(other, "firstchild", "{path}"),
        }
    }
    assert!(functions > 0);
    assert!(views > 0);
    assert_eq!(
        menu["admin/services/lanward"]["depends"]["acl"],
        serde_json::json!(["luci-app-lanward"])
    );
    // A condition on files or UCI would be asked once only, when the menu is cached.
    assert_eq!(menu["admin/services/lanward"]["depends"].as_object().unwrap().len(), 1);
}

#[test]
fn the_package_has_the_programs_version() {
    let makefile = read(&app().join("Makefile"));
    assert!(makefile.contains(&format!("PKG_VERSION:={}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_page_makes_no_markup_out_of_text_and_needs_nothing_from_outside() {
    const FORBIDDEN: [&str; 13] = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "dom.parse",
        "eval(",
        "new Function",
        "setInterval",
        "setTimeout",
        "http://",
        "https://",
        "createHandlerFn",
        "@import",
    ];
    for path in files("js").into_iter().chain(files("css")) {
        let text = read(&path);
        for word in FORBIDDEN {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
        assert!(!text.contains("  "), "{}: tabs, please", path.display());
        // Children that are a bare string become markup: E('td', {}, name), E('td', name).
        for (at, _) in text.match_indices("E('") {
            let call = text[at..].lines().next().unwrap();
            let after = call.split_once(", ").map(|(_, rest)| rest);
            if call.starts_with("E('link'") {
                continue;
            }
            assert!(
                after.is_some_and(|rest| rest.starts_with('{')),
                "{}: {call}",
                path.display()
            );
            if let Some((_, children)) = call.split_once("}, ") {
                assert!(children.starts_with('['), "{}: {call}", path.display());
            }
        }
    }
}

/// A message's key: text and context.
type Key = (String, Option<String>);

/// What the page says, from its sources, with the files that say it.
#[derive(Debug, Default, PartialEq)]
struct Message {
    plural: Option<String>,
    files: BTreeSet<String>,
}

/// A string literal at the beginning of the text, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next()?.1 {
                escaped @ ('\'' | '"' | '\\') => value.push(escaped),
                other => panic!("an escape that no message needs: \\{other} in {text:.60}"),
            },
            _ if character == quote => return Some((value, &text[at + quote.len_utf8()..])),
            _ => value.push(character),
        }
    }
    None
}

/// The literals of a call's arguments; panics where there is anything else.
fn literals(mut text: &str) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let Some((value, rest)) = literal(text.trim_start()) else {
            panic!("a message must be a literal: {text:.80}")
        };
        found.push(value);
        match rest.trim_start().strip_prefix(',') {
            Some(rest) => text = rest,
            None => {
                assert!(
                    rest.trim_start().starts_with(')'),
                    "a message must be one literal: {text:.80}"
                );
                return found;
            }
        }
    }
}

/// Calls of `_` and `N_` in JavaScript without regular expressions.
fn calls(text: &str, mut said: impl FnMut(Key, Option<String>)) {
    let mut rest = text;
    let mut before = ' ';
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        let is_word = before.is_alphanumeric() || matches!(before, '_' | '.' | '$');
        rest = match character {
            '/' if after.starts_with('/') => &rest[rest.find('\n').unwrap_or(rest.len())..],
            '/' if after.starts_with('*') => &rest[rest.find("*/").unwrap() + 2..],
            '\'' | '"' => {
                literal(rest)
                    .unwrap_or_else(|| panic!("a string without end: {rest:.60}"))
                    .1
            }
            '`' => panic!("template strings are not looked into: {rest:.60}"),
            '_' if !is_word && after.starts_with('(') => {
                let mut found = literals(&after[1..]).into_iter();
                said((found.next().unwrap(), found.next()), None);
                after
            }
            'N' if !is_word && after.starts_with("_(") => {
                let comma = after.find(", ").unwrap();
                let mut found = literals(&after[comma + 1..]).into_iter();
                let (one, many) = (found.next().unwrap(), found.next().unwrap());
                said((one, found.next()), Some(many));
                after
            }
            _ => after,
        };
        before = character;
    }
}

fn titles(value: &Value, said: &mut impl FnMut(&str)) {
    for (key, value) in value.as_object().into_iter().flatten() {
        match value.as_str() {
            Some(text) if key == "title" || key == "description" => said(text),
            _ => titles(value, said),
        }
    }
}

fn said() -> BTreeMap<Key, Message> {
    let mut all: BTreeMap<Key, Message> = BTreeMap::new();
    let mut say = |path: &Path, key: Key, plural: Option<String>| {
        let words: Vec<&str> = key.0.split_whitespace().collect();
        assert_eq!(key.0, words.join(" "), "LuCI looks it up with single spaces");
        let message = all.entry(key.clone()).or_default();
        assert!(
            message.files.is_empty() || message.plural == plural,
            "{key:?} with two plurals"
        );
        message.plural = plural;
        let file = path.strip_prefix(app()).unwrap().display().to_string();
        message.files.insert(file);
    };
    for path in files("js") {
        calls(&read(&path), |key, plural| say(&path, key, plural));
    }
    for path in files("json") {
        let value: Value = serde_json::from_str(&read(&path)).unwrap();
        titles(&value, &mut |text| say(&path, (text.into(), None), None));
    }
    assert!(all.len() > 50, "the messages were not found");
    all
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The template as it is to be.
fn template(messages: &BTreeMap<Key, Message>) -> String {
    let mut text = String::from(
        "# The page's messages. Written by LANWARD_GOLDEN=rewrite cargo test --test page\nmsgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\\n\"\n",
    );
    for ((id, context), message) in messages {
        text.push('\n');
        for file in &message.files {
            text.push_str(&format!("#: {file}\n"));
        }
        if let Some(context) = context {
            text.push_str(&format!("msgctxt {}\n", quoted(context)));
        }
        text.push_str(&format!("msgid {}\n", quoted(id)));
        match &message.plural {
            Some(plural) => {
                text.push_str(&format!(
                    "msgid_plural {}\nmsgstr[0] \"\"\nmsgstr[1] \"\"\n",
                    quoted(plural)
                ));
            }
            None => text.push_str("msgstr \"\"\n"),
        }
    }
    text
}

#[test]
fn the_template_holds_what_the_page_says() {
    let path = app().join("po/templates/lanward.pot");
    let wanted = template(&said());
    if std::env::var("LANWARD_GOLDEN").is_ok_and(|how| how == "rewrite") {
        fs::write(&path, wanted).unwrap();
        return;
    }
    assert_eq!(read(&path), wanted, "LANWARD_GOLDEN=rewrite cargo test --test page");
}

/// A translated message: its plural and its forms.
type Translation = (Option<String>, BTreeMap<usize, String>);

/// A catalogue: strict, as it is written here (each string on one line but the header's).
fn catalogue(path: &Path) -> BTreeMap<Key, Translation> {
    let mut found = BTreeMap::new();
    for block in read(path).split("\n\n") {
        let (mut id, mut context, mut plural, mut forms) = (None, None, None, BTreeMap::new());
        for line in block.lines() {
            assert!(
                !line.starts_with("#,") && !line.starts_with("#~"),
                "unsure or stale: {line}"
            );
            let Some((field, string)) = line.split_once(' ').filter(|_| !line.starts_with(['#', '"'])) else {
                continue;
            };
            let (string, rest) = literal_with_newlines(string);
            assert_eq!(rest, "", "{line}");
            match field {
                "msgid" => id = Some(string),
                "msgctxt" => context = Some(string),
                "msgid_plural" => plural = Some(string),
                "msgstr" => drop(forms.insert(0, string)),
                _ => {
                    let form = field.strip_prefix("msgstr[").unwrap().strip_suffix(']').unwrap();
                    forms.insert(form.parse().unwrap(), string);
                }
            }
        }
        let key = (id.unwrap_or_else(|| panic!("no msgid: {block}")), context);
        assert!(found.insert(key, (plural, forms)).is_none(), "twice: {block}");
    }
    found.remove(&(String::new(), None)).expect("no header");
    found
}

fn literal_with_newlines(text: &str) -> (String, &str) {
    if text.contains("\\n") {
        return (text.to_string(), "");
    }
    literal(text).unwrap_or_else(|| panic!("not a string: {text}"))
}

fn japanese() -> PathBuf {
    app().join("po/ja/lanward.po")
}

/// What `format` replaces, in order: LuCI knows no positions.
fn placeholders(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let end = rest[at + 1..]
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap()
            + at
            + 1;
        // %1024.1mB: the unit belongs to it.
        let unit = usize::from(rest[end..].starts_with("mB"));
        found.push(rest[at..=end + unit].to_string());
        rest = &rest[end + 1..];
    }
    found
}

#[test]
fn the_japanese_catalogue_is_complete_and_nothing_more() {
    let messages = said();
    let catalogue = catalogue(&japanese());
    let wanted: Vec<&Key> = messages.keys().collect();
    let there: Vec<&Key> = catalogue.keys().collect();
    let missing: Vec<&&Key> = wanted.iter().filter(|key| !catalogue.contains_key(key)).collect();
    assert!(missing.is_empty(), "not translated: {missing:#?}");
    let stale: Vec<&&Key> = there.iter().filter(|key| !messages.contains_key(key)).collect();
    assert!(stale.is_empty(), "said nowhere: {stale:#?}");
    for (key, message) in &messages {
        let (plural, forms) = &catalogue[key];
        assert_eq!(*plural, message.plural, "{key:?}");
        // Japanese has one form.
        assert_eq!(forms.keys().collect::<Vec<_>>(), [&0], "{key:?}");
        assert!(!forms[&0].trim().is_empty(), "{key:?}");
        assert_eq!(placeholders(&forms[&0]), placeholders(&key.0), "{key:?}");
        if let Some(plural) = plural {
            assert_eq!(placeholders(plural), placeholders(&key.0), "{key:?}");
        }
        assert!(
            !forms[&0].is_ascii() || key.0.split(' ').count() == 1,
            "left in English: {key:?}"
        );
    }
}

/// The key's hash as the browser computes it, over the message's UTF-8.
fn hash(key: &str) -> u32 {
    let bytes = key.as_bytes();
    let signed = |byte: u8| u32::from(byte) | if byte > 127 { 0xffff_ff00 } else { 0 };
    let pair = |at: usize| u32::from(bytes[at]) | u32::from(bytes[at + 1]) << 8;
    let mut value = u32::try_from(bytes.len()).unwrap();
    let whole = bytes.len() / 4 * 4;
    for at in (0..whole).step_by(4) {
        value = value.wrapping_add(pair(at));
        value = (value << 16) ^ ((pair(at + 2) << 11) ^ value);
        value = value.wrapping_add(value >> 11);
    }
    match bytes.len() % 4 {
        3 => {
            value = value.wrapping_add(pair(whole));
            value ^= value << 16;
            value ^= signed(bytes[whole + 2]) << 18;
            value = value.wrapping_add(value >> 11);
        }
        2 => {
            value = value.wrapping_add(pair(whole));
            value ^= value << 11;
            value = value.wrapping_add(value >> 17);
        }
        1 => {
            value = value.wrapping_add(signed(bytes[whole]));
            value ^= value << 10;
            value = value.wrapping_add(value >> 1);
        }
        _ => {}
    }
    value ^= value << 3;
    value = value.wrapping_add(value >> 5);
    value ^= value << 4;
    value = value.wrapping_add(value >> 17);
    value ^= value << 25;
    value.wrapping_add(value >> 6)
}

/// Runs the converter. `None`: no Python here, and said so.
fn po2lmo(test: &str, source: &Path, target: &Path) -> Option<bool> {
    let program = root().join("package/po2lmo.py");
    match Command::new("python3").arg(program).args([source, target]).output() {
        Ok(output) => Some(output.status.success()),
        Err(error) => {
            skip(test, &format!("python3: {error}"));
            None
        }
    }
}

/// A directory for this test alone, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lanward-page-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An .lmo file's entries: key to number of forms and text.
fn entries(lmo: &[u8]) -> Vec<(u32, u32, String)> {
    let word = |at: usize| u32::from_be_bytes(lmo[at..at + 4].try_into().unwrap());
    let place = |at: usize| usize::try_from(word(at)).unwrap();
    let index = place(lmo.len() - 4);
    assert_eq!((lmo.len() - 4 - index) % 16, 0);
    let entry = |at: usize| {
        let text = &lmo[place(at + 8)..][..place(at + 12)];
        (word(at), word(at + 4), String::from_utf8(text.to_vec()).unwrap())
    };
    (index..lmo.len() - 4).step_by(16).map(entry).collect()
}

#[test]
fn the_converted_catalogue_answers_every_message_by_its_hash() {
    // As LuCI's own po2lmo and its page compute them: every length of the last part, and bytes above 127 in it.
    assert_eq!(hash("On"), 0x9dcf_5544);
    assert_eq!(hash("Off"), 0x46bf_098c);
    assert_eq!(hash("Overview"), 0xadba_ae97);
    assert_eq!(hash("Résumé"), 0xd8d0_44df);
    assert_eq!(hash("%d s"), 0xf34c_ba30);
    assert_eq!(hash("abcdé"), 0x67f5_702e);
    assert_eq!(hash("abcé"), 0xe8f6_f75e);
    assert_eq!(hash("aé"), 0xe3d9_c55b);
    let scratch = Scratch::new("lmo");
    let [first, second] = ["1.lmo", "2.lmo"].map(|name| scratch.0.join(name));
    for target in [&first, &second] {
        let Some(done) = po2lmo("page: the converted catalogue", &japanese(), target) else {
            return;
        };
        assert!(done);
    }
    let lmo = fs::read(&first).unwrap();
    assert_eq!(lmo, fs::read(&second).unwrap(), "same input, same bytes");
    let entries = entries(&lmo);
    assert!(
        entries.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "the index is searched by halves"
    );
    let answer = |key: &str| {
        let at = entries.binary_search_by_key(&hash(key), |entry| entry.0);
        entries[at.unwrap_or_else(|_| panic!("not found: {key}"))].clone()
    };
    let catalogue = catalogue(&japanese());
    for ((id, context), (plural, forms)) in &catalogue {
        let context = context
            .as_ref()
            .map(|context| format!("{context}\u{1}"))
            .unwrap_or_default();
        let form = if plural.is_some() { "\u{2}0" } else { "" };
        let (_, count, text) = answer(&format!("{context}{id}{form}"));
        assert_eq!((count, &text), (1, &forms[&0]));
    }
    assert_eq!(entries[0], (0, 0, "nplurals=1; plural=0;".to_string()));
    assert_eq!(entries.len(), catalogue.len() + 1);
}

#[test]
fn the_converter_refuses_what_it_would_have_to_guess() {
    let header = "msgid \"\"\nmsgstr \"\"\n\"Plural-Forms: nplurals=2; plural=(n != 1);\\n\"\n\n";
    let cases = [
        ("a line that is nothing", "msgid \"a\"\nmsgstr \"b\"\nnonsense\n", false),
        ("an open string", "msgid \"a\"\nmsgstr \"b\n", false),
        (
            "a message twice",
            "msgid \"a\"\nmsgstr \"b\"\n\nmsgid \"a\"\nmsgstr \"c\"\n",
            false,
        ),
        (
            "no translation in the last",
            "msgid \"a\"\nmsgstr \"b\"\n\nmsgid \"c\"\n",
            false,
        ),
        (
            "contexts apart",
            "msgctxt \"x\"\nmsgid \"a\"\nmsgstr \"b\"\n\nmsgid \"a\"\nmsgstr \"c\"\n",
            true,
        ),
        (
            "last bytes above 127",
            "msgid \"abcé\"\nmsgstr \"b\"\n\nmsgid \"aé\"\nmsgstr \"c\"\n",
            true,
        ),
        (
            "forms, and lines joined",
            "msgid \"%d a\"\nmsgid_plural \"%d as\"\nmsgstr[0] \"%d \"\n\"b\"\nmsgstr[1] \"%d \\\"bs\\\"\"\n",
            true,
        ),
    ];
    let scratch = Scratch::new("cases");
    for (name, text, good) in cases {
        let [source, target] = ["in.po", "out.lmo"].map(|name| scratch.0.join(name));
        fs::write(&source, format!("{header}{text}")).unwrap();
        let _ = fs::remove_file(&target);
        let Some(done) = po2lmo("page: the converter", &source, &target) else {
            return;
        };
        assert_eq!((done, target.exists()), (good, good), "{name}");
        if name.starts_with("last") {
            let entries = entries(&fs::read(&target).unwrap());
            for (key, text) in [("abcé", "b"), ("aé", "c")] {
                assert!(entries.contains(&(hash(key), 1, text.to_string())), "{entries:?}");
            }
        }
        if name.starts_with("forms") {
            let entries = entries(&fs::read(&target).unwrap());
            for (key, text) in [("%d a\u{2}0", "%d b"), ("%d a\u{2}1", "%d \"bs\"")] {
                assert!(entries.contains(&(hash(key), 2, text.to_string())), "{entries:?}");
            }
        }
    }
}
