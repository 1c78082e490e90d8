//! The page beside what it stands on: the bus's methods, its own files, both languages, and the format of the catalogue.
//! What the page does is tried in a browser: `tests/browser.rs`.

#![allow(clippy::unwrap_used)]

use lanward::config::{self, Absent, Arity, Kind, OptionSpec, System, OPTIONS};
use lanward::report::METHODS;
use lanward::uci;
use lanward_rig::node;
use lanward_rig::report_line::skip;
use lanward_rig::scratch::Scratch;
use serde_json::{json, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What changes nothing. Everything else is for sessions that may write.
const READS: [&str; 10] = [
    "status",
    "preview",
    "gate_list",
    "knock_list",
    "spa_list",
    "history",
    "ledger_recent",
    "relay_list",
    "relay_files",
    "check",
];

/// What the router itself and its commands call, and no page.
const NOT_FOR_PAGES: [&str; 2] = ["ledger_commit", "ledger_import"];

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
    let withheld: BTreeSet<String> = known.difference(&all).cloned().collect();
    assert_eq!(withheld, NOT_FOR_PAGES.map(String::from).into());
    let ahead: BTreeSet<String> = all.difference(&known).cloned().collect();
    assert_eq!(ahead, BTreeSet::new(), "granted, and the daemon has none of it");
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
    let scratch = Scratch::new("page");
    let [first, second] = ["1.lmo", "2.lmo"].map(|name| scratch.join(name));
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
    let mut catalogue = catalogue(&japanese());
    // What is the same in both languages is found without a catalogue.
    catalogue.retain(|(id, _), (_, forms)| *id != forms[&0]);
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
    let scratch = Scratch::new("page");
    for (name, text, good) in cases {
        let [source, target] = ["in.po", "out.lmo"].map(|name| scratch.join(name));
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

/// The settings' options, and what they make of these values, sections and names. `None`: no node here, and said so.
fn settings(test: &str, given: &Value) -> Option<Value> {
    node::ask(test, &root().join("tests/page/settings.js"), &resources(), given)
}

fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().unwrap_or_else(|| panic!("{value} is no list"));
    list.iter().map(|text| text.as_str().unwrap().to_string()).collect()
}

/// The form's class for an option, and whether it is made for lists.
fn widget(spec: &OptionSpec) -> &'static str {
    match (spec.kind, spec.arity) {
        (Kind::Switch, Arity::One) => "Flag",
        (Kind::Choice(_) | Kind::Gate, Arity::One) => "ListValue",
        (Kind::Weekday, Arity::Many) => "MultiValue",
        // LuCI's lists hold nothing twice, and a sequence may.
        (Kind::Step, Arity::Many) | (_, Arity::One) => "Value",
        (_, Arity::Many) => "DynamicList",
    }
}

#[test]
fn the_settings_have_every_option_of_the_table_and_nothing_more() {
    let nothing = json!({ "values": {}, "sections": [], "names": [] });
    let Some(page) = settings("page: every option has its setting", &nothing) else {
        return;
    };
    let there = page["options"].as_array().unwrap();
    let names = |option: &Value| {
        format!(
            "{}.{}",
            option["type"].as_str().unwrap(),
            option["name"].as_str().unwrap()
        )
    };
    let shown: Vec<String> = there.iter().map(names).collect();
    let table: Vec<String> = OPTIONS
        .iter()
        .map(|spec| format!("{}.{}", spec.system.word(), spec.name))
        .collect();
    assert_eq!(shown, table);
    for (spec, option) in OPTIONS.iter().zip(there) {
        let place = format!("{}.{}", spec.system.word(), spec.name);
        assert_eq!(option["single"], spec.system.is_single(), "{place}");
        assert_eq!(option["widget"], widget(spec), "{place}");
        assert_eq!((&option["removes"], &option["retains"]), (&json!(true), &json!(true)));
        let wanted = match spec.absent {
            Absent::Default(text) => json!(text),
            _ => Value::Null,
        };
        let [default, placeholder] = ["default", "placeholder"].map(|field| option[field].clone());
        match widget(spec) {
            "Value" => assert_eq!((default, placeholder), (Value::Null, wanted), "{place}"),
            "DynamicList" | "MultiValue" if !wanted.is_null() => {
                assert_eq!((default, placeholder), (json!([wanted]), Value::Null), "{place}");
            }
            _ => assert_eq!((default, placeholder), (wanted, Value::Null), "{place}"),
        }
        let mut choices = strings(&option["choices"]);
        if spec.absent == Absent::Nothing {
            choices.retain(|choice| !choice.is_empty());
        }
        match spec.kind {
            Kind::Choice(words) => assert_eq!(choices, words, "{place}"),
            Kind::Weekday => assert_eq!(choices.len(), 7, "{place}"),
            _ => assert!(choices.is_empty(), "{place}"),
        }
        let texts = strings(&option["texts"]);
        assert!(texts.iter().all(|text| !text.is_empty()), "{place}");
        // A description is markup to LuCI.
        assert!(texts.iter().all(|text| !text.contains(['<', '&'])), "{place}");
    }
}

/// Right and wrong values of a kind, on the edges where there are any. All of them are also tried with one letter changed.
fn edges(spec: &OptionSpec) -> Vec<String> {
    let texts: &[&str] = match spec.kind {
        Kind::Switch => &[
            "1", "on", "true", "yes", "enabled", "0", "off", "false", "no", "disabled", "ON", "2", "maybe",
        ],
        Kind::Choice(words) => words,
        Kind::Number { .. } => &[
            "0",
            "1",
            "007",
            "4294967296",
            "99999999999999999999",
            "-1",
            "+1",
            "1e3",
            "1.0",
            "0x10",
        ],
        Kind::Duration { .. } => &[
            "1d",
            "10m",
            "600s",
            "599s",
            "9m",
            "30d",
            "31d",
            "720h",
            "721h",
            "4w",
            "5w",
            "9999999999w",
            "1",
            "d",
            "1D",
            "1 d",
            "01d",
        ],
        Kind::Clock { .. } => &[
            "0:00", "00:00", "7:05", "07:05", "23:59", "24:00", "24:01", "12:60", "1:5", "001:00", "7", "-1:00",
            "99:99",
        ],
        Kind::Weekday => &[
            "mon", "Monday", "SUN", "tuesday", "wed", "thurs", "fri", "saturday", "caturday", "m",
        ],
        Kind::Mark => &[
            "0x1",
            "0X80000000",
            "0x10000000",
            "0x100000000",
            "0x00000000000001",
            "268435456",
            "1",
            "3",
            "0",
            "0x0",
            "0x",
            "0x3",
            "4294967296",
            "0xg",
        ],
        Kind::Port => &["1", "22", "0022", "65535", "65536", "0", "ssh", "+22"],
        Kind::Ports => &[
            "1",
            "65535",
            "0",
            "1-65535",
            "9-9",
            "9-1",
            "50000-60000",
            "9-65536",
            "1-2-3",
            "1:9",
            "-",
            "1-",
            "-9",
            "010-0020",
        ],
        Kind::Profile => &["chrome-remote-desktop", "a", "-a", "A", "a_b", "a.b"],
        Kind::Host | Kind::Address => &[
            "192.168.1.20",
            "192.168.1.020",
            "192.168.1",
            "1.2.3.4.5",
            "256.1.1.1",
            "192.168.1.0/24",
            "nas",
            "nas.lan",
            "127.0.0.1",
            "0.0.0.0",
            "0.0.0.1",
            "169.254.1.1",
            "169.253.1.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "255.255.255.254",
            "2001:db8::1",
            "2001:db8:0:0:0:0:0:1",
            "2001:DB8::1",
            "::",
            "::1",
            "::2",
            "::1.2.3.4",
            "1::2::3",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1::3:4:5:6:7:8",
            "1:2:3:4::5:6:7:8",
            "1:2:3:4:5:6:1.2.3.4",
            "1:2:3:4:5:6:7:1.2.3.4",
            "1.2.3.4::",
            "64:ff9b::1.2.3.4",
            "::ffff:1.2.3.4",
            "::ffff:102:304",
            "::fffe:1.2.3.4",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fe80::1%br-lan",
            "ff02::1",
            "12345::",
            ":::",
            ":1",
            "1:",
            "[2001:db8::1]",
            "02:00:5e:10:00:20",
            "2:0:5e:10:0:20",
            "02-00-5e-10-00-20",
            "02-00:5e:10:00:20",
            "01:00:5e:10:00:20",
            "00:00:00:00:00:00",
            "00:00:5e:00:53",
            "02:00:5e:10:00:20:30",
            "02:00:5e:10:00:g0",
            "020:00:5e:10:00:20",
        ],
        Kind::Subnet => &[
            "203.0.113.0/24",
            "203.0.113.1/24",
            "203.0.113.1",
            "203.0.113.1/32",
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.0.0/08",
            "10.0.0.0/",
            "128.0.0.0/1",
            "10.0.0.0/33",
            "10.0.0.0/255.0.0.0",
            "2001:db8::/32",
            "2001:db8::/31",
            "2001:db8::1/128",
            "2001:db8::/129",
            "2001:db8::8/125",
            "2001:db8::8/124",
            "::/0",
            "::",
            "fe80::/10",
            "::ffff:0:0/96",
            "224.0.0.0/4",
            "lan",
        ],
        Kind::Zone => &["lan", "wan6", "my_zone", "a.b", "a/b", "a-b", "-a", "a b", "é"],
        Kind::Gate => &["ssh", "my_gate", "a-b", "a.b"],
        Kind::Service => &[
            "tcp:22",
            "tcp:0",
            "tcp:65536",
            "udp:22",
            "TCP:22",
            "tcp:",
            "tcp",
            "22",
            "tcp:22>",
            "tcp:2222>192.168.1.10:22",
            "tcp:2222>192.168.1.10",
            "tcp:2222>192.168.1.10:0",
            "tcp:22>[2001:db8::10]:22",
            "tcp:22>2001:db8::10:22",
            "tcp:22>[192.168.1.10]:22",
            "tcp:22>127.0.0.1:22",
            "tcp:22>nas:22",
            "tcp:22>[]:22",
            "tcp:22>[fe80::1]:22",
            "tcp:22>a>b",
            "tcp:22>[::ffff:1.2.3.4]:22",
        ],
        Kind::Step => &[
            "tcp:7000",
            "udp:7000",
            "udp:07000",
            "sctp:1",
            "tcp:7000:1",
            "7000",
            "tcp:",
            ":1",
        ],
        Kind::Path => &[
            "/etc/lanward/laptop.key",
            "/",
            "/a",
            "/a/",
            "a/b",
            "/a/../b",
            "/a/..",
            "/..a",
            "/a b",
            "/é",
            "//a",
        ],
        Kind::HostName => &[
            "relay.example.net",
            "a",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "1.2.3.4",
            "1.2.3",
            "12",
            "1.2.3.4a",
            "2001:db8::1",
            "[2001:db8::1]",
            "xn--a",
            "é.example",
        ],
        Kind::Target => &[
            "192.168.1.20:3389",
            "[2001:db8::20]:3389",
            "2001:db8::20:3389",
            "[192.168.1.20]:3389",
            "pc:1",
            "pc:0",
            "pc",
            ":1",
            "pc:",
            "1.2.3:1",
            "127.0.0.1:1",
            "[fe80::1]:1",
            "[]:1",
            "[:1",
        ],
        Kind::User => &["relay", "a.b", "a_b", "a-b", "-a", "a b", "root$"],
        Kind::HostKey => &[
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+771",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAwcHBw==",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAABAcHBwc=",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAwcHBw",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAABAcHBwc",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAABAcHBwc=",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAwcHBw==",
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAAJBAQEBAQEBAQE",
            "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAAJBAQEBAQEBAQE",
            "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAAAFBAQEBAQAAAAEc3NoOg==",
            "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABHNzaDo=",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+771",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+77",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+771=",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+771 me@home",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+771\t",
            " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+771",
            "ssh-ed25519\tAAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+771",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAHwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7FQN7nNwpsRIsPtORyynFrWl5XuQF9H/U9TJ57+771AAA=",
            "ssh-rsa AAAAB3NzaC1yc2EAAAAAAAAAAXg=",
            "ssh-rsa AAAAB3NzaC1yc2EAAAABeAAAAAF4AAAAAXg=",
            "ssh-rsa /////3NzaC1yc2E=",
            "constructor AAAAC2NvbnN0cnVjdG9y",
            "ssh-dss AAAAB3NzaC1kc3MAAAABeAAAAAF4",
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAwcHBx",
            "ssh-ed25519",
            "ssh-ed25519  AAAA",
            "rsa AAAA",
            "ssh-rsa BAAA",
            "ssh-rsa AAA",
            "ssh-rsa é",
        ],
    };
    let mut all: Vec<String> = texts.iter().map(ToString::to_string).collect();
    let bounds = match spec.kind {
        Kind::Number { min, max, .. } => vec![u64::from(min), u64::from(max)],
        _ => Vec::new(),
    };
    for bound in bounds {
        all.extend([bound.saturating_sub(1), bound, bound + 1].map(|number| number.to_string()));
    }
    let long = match spec.kind {
        Kind::Path => vec![
            format!("/{}", "a".repeat(254)),
            format!("/{}", "a".repeat(255)),
            format!("/{}", "é".repeat(127)),
            format!("/{}", "é".repeat(128)),
        ],
        // 4096 letters of base64, and the next.
        Kind::HostKey => [3050, 3051].map(host_key_of).to_vec(),
        Kind::HostName => vec![
            "a".repeat(63),
            "a".repeat(64),
            ["a".repeat(49).as_str(); 5].join(".") + ".abc",
            ["a".repeat(49).as_str(); 5].join(".") + ".abcd",
        ],
        _ => [32, 33, 64, 65].map(|length| "a".repeat(length)).to_vec(),
    };
    all.extend(long);
    all.push(spec.example.to_string());
    all
}

/// An RSA key with so long a number.
fn host_key_of(length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut blob = b"\0\0\0\x07ssh-rsa\0\0\0\x03\x01\0\x01".to_vec();
    blob.extend(u32::try_from(length).expect("small").to_be_bytes());
    blob.resize(blob.len() + length, 7);
    let mut text = "ssh-rsa ".to_string();
    for part in blob.chunks(3) {
        let bits = part.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        let letter = |at: usize| char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]);
        text.extend((0..4).map(|at| if at <= part.len() { letter(at) } else { '=' }));
    }
    text
}

/// The texts, and each with every letter left out or doubled, and with a few letters put in somewhere.
fn changed(texts: &[String]) -> Vec<String> {
    const LETTERS: [char; 19] = [
        '0', '1', '9', 'a', 'f', 'g', 'Z', '.', ':', '-', '_', '/', '>', '[', ']', '%', ' ', 'é', '\u{7f}',
    ];
    let mut all: BTreeSet<String> = texts.iter().cloned().collect();
    for (turn, text) in texts.iter().enumerate().filter(|(_, text)| text.len() < 90) {
        for (at, letter) in text.char_indices() {
            let (before, behind) = (&text[..at], &text[at + letter.len_utf8()..]);
            let other = LETTERS[(turn * 7 + at * 5) % LETTERS.len()];
            all.insert(format!("{before}{behind}"));
            all.insert(format!("{before}{letter}{letter}{behind}"));
            all.insert(format!("{before}{other}{behind}"));
            all.insert(format!("{before}{letter}{other}{behind}"));
        }
    }
    all.into_iter().filter(|text| !text.is_empty()).collect()
}

/// A section's options.
type Options = Vec<(String, uci::Value)>;

/// A package of sections: type, name, options.
fn package(sections: &[(&str, &str, Options)]) -> uci::Package {
    let section = |(kind, name, options): &(&str, &str, Options)| uci::Section {
        kind: (*kind).to_string(),
        name: Some((*name).to_string()),
        index: 0,
        line: 1,
        options: options.clone(),
    };
    uci::Package {
        sections: sections.iter().map(section).collect(),
    }
}

fn name_of(system: System) -> &'static str {
    if system.is_single() {
        system.word()
    } else {
        "one"
    }
}

/// Whether the daemon takes this text as a value of this option: no problem of it quotes the text.
fn daemon_takes(spec: &OptionSpec, text: &str) -> bool {
    let value = match spec.arity {
        Arity::One => uci::Value::One(text.to_string()),
        Arity::Many => uci::Value::Many(vec![text.to_string()]),
    };
    let options = vec![(spec.name.to_string(), value)];
    let (_, problems) = config::read(&package(&[(spec.system.word(), name_of(spec.system), options)]));
    let place = format!("lanward.{}.{}", name_of(spec.system), spec.name);
    // What is about other options or sections is tried with whole sections, below.
    let about_others = [
        "has no effect without",
        "is missing",
        "which is always",
        "leaves no port",
        "is less than retry",
        "is less than seconds",
        "name of a gate;",
    ];
    !problems
        .iter()
        .any(|problem| problem.option == place && !about_others.iter().any(|words| problem.message.contains(words)))
}

#[test]
fn the_settings_take_the_values_that_the_daemon_takes_and_no_others() {
    let mut values = serde_json::Map::new();
    for spec in OPTIONS {
        let mut texts = changed(&edges(spec));
        // A list's words are told apart before they are looked at.
        if spec.arity == Arity::Many {
            texts.retain(|text| !text.contains(' '));
        }
        values.insert(format!("{}.{}", spec.system.word(), spec.name), json!(texts));
    }
    // A gate is chosen among those that there are.
    values.retain(|name, _| !name.ends_with(".gate"));
    let given = json!({ "values": values, "sections": [], "names": [] });
    let Some(page) = settings("page: values as the daemon takes them", &given) else {
        return;
    };
    let (mut right, mut wrong, mut apart) = (0, 0, Vec::new());
    for spec in OPTIONS {
        let place = format!("{}.{}", spec.system.word(), spec.name);
        let Some(texts) = values.get(&place).map(strings) else {
            continue;
        };
        let verdicts = page["verdicts"][&place].as_array().unwrap();
        assert_eq!(texts.len(), verdicts.len());
        for (text, verdict) in texts.iter().zip(verdicts) {
            let takes = daemon_takes(spec, text);
            if takes {
                right += 1;
            } else {
                wrong += 1;
            }
            if verdict.as_bool() != Some(takes) {
                apart.push(format!("{place} {text:?}: the daemon {takes}, the page {verdict}"));
            }
        }
    }
    assert!(apart.is_empty(), "{} apart:\n{}", apart.len(), apart.join("\n"));
    assert!(right > 1000 && wrong > 1000, "{right} right, {wrong} wrong");
}

/// Sections as UCI writes them, `NAME=VALUE` or `NAME=VALUE VALUE`, and whether nothing is wrong with them.
const SECTIONS: [(System, &str, bool); 56] = [
    (System::Lanward, "", true),
    (System::Lanward, "mark=0x3", false),
    (System::LanOnly, "", true),
    (System::LanOnly, "enabled=yes observe=off mirror=disabled", true),
    (System::LanOnly, "enabled=maybe", false),
    (System::LanOnly, "level=custom", false),
    (System::LanOnly, "level=custom port=50000-60000", true),
    (System::LanOnly, "level=strict port=50000-60000", true),
    (System::LanOnly, "port=50000-60000", false),
    (System::LanOnly, "port=60000-50000", false),
    (System::LanOnly, "except_port=51820", true),
    (System::LanOnly, "except_port=1-65535", false),
    (System::LanOnly, "except_port=40001-65535", false),
    (System::LanOnly, "except_port=40001-50000+50001-65535", false),
    (System::LanOnly, "except_port=40001-50000+50002-65535", true),
    (System::LanOnly, "except_port=40001-65535 host=192.168.1.20", true),
    (System::LanOnly, "except_port=1024-65535 host=192.168.1.20", false),
    (System::LanOnly, "except_port=1024-65535 level=strict", false),
    (
        System::LanOnly,
        "except_port=1-10+20-30 level=custom port=5-8+25",
        false,
    ),
    (
        System::LanOnly,
        "except_port=1-10+20-30 level=custom port=5-8+25+31",
        true,
    ),
    (System::LanOnly, "start=22:00 stop=07:00", true),
    (System::LanOnly, "start=22:00 stop=22:00", false),
    (System::LanOnly, "start=22:00 stop=22:00 weekdays=mon", true),
    (System::LanOnly, "start=0:00", false),
    (System::LanOnly, "stop=24:00", false),
    (System::LanOnly, "start=1:00", true),
    (System::LanOnly, "weekdays=mon+Tuesday+mon", true),
    (System::LanOnly, "weekdays=mon+caturday", false),
    (System::LanOnly, "host=192.168.1.20+nas", false),
    (System::Gate, "service=tcp:22", true),
    (System::Gate, "enabled=1", false),
    (System::Gate, "service=tcp:22 window=0", false),
    (System::Gate, "service=tcp:22 forget=always", false),
    (System::Witness, "gate=ssh", true),
    (System::Witness, "port=993", false),
    (System::Knock, "gate=ssh open=tcp:1+udp:1+tcp:1", true),
    (System::Knock, "gate=ssh open=tcp:1+tcp:01", false),
    (System::Knock, "gate=ssh open=tcp:1 seconds=0", false),
    (System::Knock, "gate=ssh open=tcp:1 seconds=0 close=tcp:2", true),
    (System::Knock, "gate=ssh open=tcp:1 close=tcp:1", false),
    (
        System::Knock,
        "gate=ssh open=tcp:1+tcp:2 close=tcp:3+tcp:1+tcp:2",
        false,
    ),
    (
        System::Knock,
        "gate=ssh open=tcp:1+tcp:2+tcp:3 close=tcp:1+tcp:2+tcp:1+tcp:3",
        false,
    ),
    (System::Knock, "gate=ssh open=tcp:1+tcp:2 close=tcp:1+tcp:3+tcp:2", true),
    (System::Knock, "gate=ssh open=tcp:1+tcp:2 close=tcp:1+tcp:2+tcp:3", true),
    (System::Knock, "gate=ssh open=tcp:1+tcp:2 close=tcp:2", true),
    (System::Knock, "gate=ssh open=1+2 close=tcp:2", false),
    (System::Spa, "gate=ssh key_file=/etc/lanward/laptop.key", true),
    (System::Spa, "gate=ssh", false),
    (System::Spa, "gate=ssh key_file=/a seconds=3600", true),
    (System::Spa, "gate=ssh key_file=/a seconds=3601", false),
    (System::Spa, "gate=ssh key_file=/a max_seconds=30", true),
    (System::Spa, "gate=ssh key_file=/a max_seconds=29", false),
    (System::Spa, "gate=ssh key_file=/a seconds=7200 max_seconds=7200", true),
    (System::Spa, "gate=ssh key_file=/a hmac=md5", false),
    (System::Relay, "host=a remote_port=3389 target=pc:3389 retry=300", true),
    (System::Relay, "host=a remote_port=3389 target=pc:3389 retry=301", false),
];

fn options_of(system: System, text: &str) -> Options {
    let one = |word: &str| {
        let (name, value) = word.split_once('=').unwrap();
        let values: Vec<String> = value.split('+').map(String::from).collect();
        let many = config::spec(system, name).unwrap().arity == Arity::Many;
        let value = if many {
            uci::Value::Many(values)
        } else {
            uci::Value::One(value.to_string())
        };
        (name.to_string(), value)
    };
    text.split_whitespace().map(one).collect()
}

fn json_of(options: &[(String, uci::Value)]) -> Value {
    let one = |(name, value): &(String, uci::Value)| match value {
        uci::Value::One(text) => (name.clone(), json!(text)),
        uci::Value::Many(texts) => (name.clone(), json!(texts)),
    };
    Value::Object(options.iter().map(one).collect())
}

#[test]
fn the_settings_take_the_sections_that_the_daemon_takes() {
    let steps = |count: usize| {
        let steps: Vec<String> = (1..=count).map(|step| format!("tcp:{step}")).collect();
        format!("gate=ssh open={}", steps.join("+"))
    };
    let hosts = |count: usize| {
        let hosts: Vec<String> = (0..count)
            .map(|host| format!("10.0.{}.{}", host / 250, host % 250 + 1))
            .collect();
        format!("host={}", hosts.join("+"))
    };
    let mut all: Vec<(System, String, bool)> = SECTIONS
        .iter()
        .map(|(system, text, good)| (*system, (*text).to_string(), *good))
        .collect();
    all.extend([
        (System::Knock, steps(16), true),
        (System::Knock, steps(17), false),
        (System::LanOnly, hosts(1024), true),
        (System::LanOnly, hosts(1025), false),
    ]);
    let given: Vec<Value> = all
        .iter()
        .map(|(system, text, _)| json!({ "type": system.word(), "options": json_of(&options_of(*system, text)) }))
        .collect();
    let page = settings(
        "page: sections as the daemon takes them",
        &json!({ "values": {}, "sections": given, "names": [] }),
    );
    for (at, (system, text, good)) in all.iter().enumerate() {
        let gate = ("gate", "ssh", options_of(System::Gate, "service=tcp:22"));
        let one = (system.word(), name_of(*system), options_of(*system, text));
        let (_, problems) = config::read(&package(&[gate, one]));
        assert_eq!(problems.is_empty(), *good, "{system:?} {text:.80}: {problems:?}");
        if let Some(page) = &page {
            assert_eq!(page["sections"][at], *good, "{system:?} {text:.80}");
        }
    }
}

#[test]
fn the_settings_take_the_names_that_the_daemon_takes() {
    let long = "a".repeat(33);
    let crowd: Vec<String> = (0..64).map(|number| format!("gate{number}")).collect();
    let crowd: Vec<(&str, &str)> = crowd.iter().map(|name| ("gate", name.as_str())).collect();
    type Others<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, &str, Others); 10] = [
        ("gate", "ssh", &[]),
        ("gate", "_1", &[]),
        ("gate", &long[1..], &[]),
        ("gate", &long, &[]),
        ("gate", "lanward", &[]),
        ("witness", "lan_only", &[]),
        ("relay", "ledger", &[]),
        ("witness", "ssh", &[("gate", "ssh")]),
        ("gate", "ssh", &crowd[..63]),
        ("gate", "ssh", &crowd),
    ];
    let page = settings(
        "page: names as the daemon takes them",
        &json!({ "values": {}, "sections": [], "names": cases }),
    );
    for (at, (kind, name, others)) in cases.iter().enumerate() {
        let mut sections: Vec<_> = others.iter().map(|(kind, name)| (*kind, *name, Vec::new())).collect();
        sections.push((kind, name, Vec::new()));
        let (_, problems) = config::read(&package(&sections));
        let words = [
            "too many",
            "stands twice",
            "has the name of",
            "too long a name",
            "must be named",
            "a second section",
        ];
        let taken = !problems
            .iter()
            .any(|problem| words.iter().any(|words| problem.message.contains(words)));
        if let Some(page) = &page {
            assert_eq!(page["names"][at], taken, "{kind} {name}: {problems:?}");
        }
    }
}
