//! `lanward::uci` beside libuci: the same sections, options and values, or both refuse.
//!
//! Where lanward differs on purpose is in [`differs_on_purpose`], and nowhere else. `UCI_DIR` names another libuci than the one that
//! comes with the crate libuci-sys.

use lanward::uci::{parse, set_option, EditError, Package, Section, Value};
use libuci_sys as ffi;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::raw::c_char;
use std::ptr;

/// A section as libuci has it: type, name (none if anonymous), options. The order of options means nothing, and libuci's own has
/// changed over the years.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plain {
    kind: Vec<u8>,
    name: Option<Vec<u8>>,
    options: BTreeMap<Vec<u8>, Held>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    One(Vec<u8>),
    Many(Vec<Vec<u8>>),
}

unsafe fn bytes(text: *const c_char) -> Vec<u8> {
    CStr::from_ptr(text).to_bytes().to_vec()
}

/// The elements of one of libuci's rings. Every element begins with its place in the ring.
unsafe fn elements(head: *mut ffi::uci_list) -> Vec<*mut ffi::uci_element> {
    let mut found = Vec::new();
    let mut next = (*head).next;
    while next != head {
        found.push(next.cast::<ffi::uci_element>());
        next = (*next).next;
    }
    found
}

unsafe fn section(section: *mut ffi::uci_section) -> Plain {
    let mut options = BTreeMap::new();
    for element in elements(&raw mut (*section).options) {
        let option = element.cast::<ffi::uci_option>();
        let held = if (*option).type_ == ffi::uci_option_type_UCI_TYPE_STRING {
            Held::One(bytes((*option).v.string))
        } else {
            Held::Many(
                elements(&raw mut (*option).v.list)
                    .into_iter()
                    .map(|item| bytes((*item).name))
                    .collect(),
            )
        };
        options.insert(bytes((*element).name), held);
    }
    let name = (!(*section).anonymous).then(|| bytes((*section).e.name));
    Plain {
        kind: bytes((*section).type_),
        name,
        options,
    }
}

/// What libuci makes of a text, read from a file as every program on the router reads it; or where it gives up.
fn oracle(text: &[u8]) -> Result<Vec<Plain>, String> {
    let file = TextFile::new(text);
    // SAFETY: the context lives until the end of the block, the package as long as the context, and the rings are
    // walked before it is freed.
    unsafe {
        let context = ffi::uci_alloc_context();
        assert!(!context.is_null());
        let mut package = ptr::null_mut();
        let status = ffi::uci_load(context, file.path.as_ptr(), &raw mut package);
        let result = if status == 0 {
            let ring = elements(&raw mut (*package).sections);
            Ok(ring.into_iter().map(|element| section(element.cast())).collect())
        } else {
            let mut message = ptr::null_mut();
            ffi::uci_get_errorstr(context, &raw mut message, ptr::null());
            let text = String::from_utf8_lossy(CStr::from_ptr(message).to_bytes()).into_owned();
            libc::free(message.cast());
            Err(text)
        };
        ffi::uci_free_context(context);
        result
    }
}

/// A file in memory, and the path by which libuci opens it.
struct TextFile {
    descriptor: i32,
    path: CString,
}

impl TextFile {
    fn new(text: &[u8]) -> Self {
        // SAFETY: plain system calls on a descriptor of our own and on a buffer of the length given.
        let descriptor = unsafe {
            let descriptor = libc::memfd_create(c"uci".as_ptr(), 0);
            assert!(descriptor >= 0);
            let written = libc::write(descriptor, text.as_ptr().cast(), text.len());
            assert_eq!(usize::try_from(written).unwrap(), text.len());
            descriptor
        };
        Self {
            descriptor,
            path: CString::new(format!("/proc/self/fd/{descriptor}")).unwrap(),
        }
    }
}

impl Drop for TextFile {
    fn drop(&mut self) {
        // SAFETY: opened by `new`, closed once.
        unsafe { libc::close(self.descriptor) };
    }
}

fn plain(package: &Package) -> Vec<Plain> {
    let held = |value: &Value| match value {
        Value::One(value) => Held::One(value.clone().into_bytes()),
        Value::Many(values) => Held::Many(values.iter().map(|value| value.clone().into_bytes()).collect()),
    };
    let one = |section: &Section| Plain {
        kind: section.kind.clone().into_bytes(),
        name: section.name.clone().map(String::into_bytes),
        options: section
            .options
            .iter()
            .map(|(name, value)| (name.clone().into_bytes(), held(value)))
            .collect(),
    };
    package.sections.iter().map(one).collect()
}

/// libuci's bytes with what is not UTF-8 replaced, as lanward has them.
fn lossy(sections: &[Plain]) -> Vec<Plain> {
    let lossy = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned().into_bytes();
    let held = |held: &Held| match held {
        Held::One(value) => Held::One(lossy(value)),
        Held::Many(values) => Held::Many(values.iter().map(lossy).collect()),
    };
    let one = |section: &Plain| Plain {
        options: section
            .options
            .iter()
            .map(|(name, value)| (name.clone(), held(value)))
            .collect(),
        ..section.clone()
    };
    sections.iter().map(one).collect()
}

/// How they differ, if they do.
fn difference(text: &[u8]) -> Option<String> {
    match (parse(text), oracle(text)) {
        (Err(_), Err(_)) => None,
        (Ok(ours), Ok(theirs)) if plain(&ours) == lossy(&theirs) => None,
        (ours, theirs) => Some(format!(
            "{:?}\nlanward: {ours:#?}\nlibuci: {theirs:#?}",
            String::from_utf8_lossy(text)
        )),
    }
}

#[track_caller]
fn agree(text: &[u8]) {
    if let Some(difference) = difference(text) {
        panic!("{difference}");
    }
}

/// One text for each corner, those that are right and those that both must refuse.
#[rustfmt::skip]
const CASES: &[&[u8]] = &[
    // Statements.
    b"", b"\n", b"config a", b"config a\n", b"config a 'b'\n", b"config 'a' \"b\"\n", b"config a b c\n", b"config\n", b"config \n",
    b"config ''\n", b"config a ''\n", b"config a.b-c/d 'e'\n", b"config 'a b'\n", b"config a 'b-c'\n", b"config a 'b c'\n",
    b"config \xe9\n", b"config a\xe9\n", b"config a \xe9\n", b"'config' a\n", b"conf\\\nig a\n", b"config\\\n a\n", b"config \\\na\n",
    b"config \\\n a\n", b"configure a\n", b"Config a\n", b"c a\no b c\nl d e\np f\n", b"co a\n", b"option a b\n", b"list a b\n",
    b"package a\n", b"package\n", b"package 'a b'\n", b"package a b\n", b"package a-b_c\nconfig d\n",
    b"config a\npackage b\noption c d\n", b"config a\npackage b\nconfig a\n",
    // Values.
    b"config a\noption b c\n", b"config a\n\toption\tb\tc\t\n", b"config a\n\x0b\x0c\roption b c\n", b"config a\noption\x0bb c\n",
    b"config a\noption b\x0bc\n", b"config a\noption b 'c d'\n", b"config a\noption b \"c d\"\n", b"config a\noption b 'c'\\''d'\n",
    b"config a\noption b 'c'd\"e\"f\n", b"config a\noption b c\\ d\n", b"config a\noption b \"c\\\"d\\\\e\\nf\"\n",
    b"config a\noption b 'c\\d'\n", b"config a\noption b 'c\\'\n", b"config a\noption b \"c'd\"\n", b"config a\noption b 'c\"d'\n",
    b"config a\noption b c d\n", b"config a\noption b\n", b"config a\noption b \n", b"config a\noption b ''\n",
    b"config a\noption b c\noption b ''\n", b"config a\noption b c\noption b\n", b"config a\noption ''\n", b"config a\noption '' c\n",
    b"config a\noption b-c d\n", b"config a\noption b.c d\n", b"config a\noption 'b' c\n", b"config a\noption b\\c d\n",
    b"config a\noption b caf\xe9\n", b"config a\noption b '\xff\xfe'\n", b"config a\noption b '\x01\x7f'\n",
    // Lines.
    b"config a\r\noption b c\r\n", b"config a\r\n\toption b 'c'\r\n\r\n", b"config a\roption b c\r", b"config a\noption b c\\\nd\n",
    b"config a\noption b c\\\r\nd\n", b"config a\noption b c\\\r\n d\n", b"config a\noption b c \\\n d\n", b"config a\noption b c \\\nd\n",
    b"config a\noption b c \\\n\n", b"config a\noption b c \\\n\toption d e\n", b"config a\noption b c\\\n\toption d e\n",
    b"config a\noption b c\\\n\\\n\\\nd\n", b"config a\noption b \"c\\\nd\"\n", b"config a\noption b \"c\nd\"\n",
    b"config a\noption b 'c\nd\n\ne'\n", b"config a\noption b 'c\r\nd'\n", b"config a\noption b 'c\n'd'\ne'\n", b"config a\noption b 'c\n",
    b"config a\noption b \"c\n", b"config a\noption b \"c\\", b"config a\noption b 'c", b"config a\noption b c\\", b"config a\noption b c\\\n",
    b"config a\noption b c\\\r", b"config a\noption b c \\", b"config a\noption b \\", b"config a\noption b", b"config a\noption ",
    // Comments.
    b"# a\n#b\n\t # c\nconfig a # b\n", b"#\xff\xfe\nconfig a\n", b"config a#b\n", b"config a #b c\noption b#c d\n",
    b"config a\noption b c#d e f\n", b"config a\noption b 'c'#d\n", b"config a\noption b 'c#d'\n", b"config a\noption b c\\#d\n",
    b"config a\noption b #c\n", b"config a # \\\noption b c\n", b"config a # '\noption b c\n", b"config# a\n", b"# a \\\nconfig b\n",
    // Semicolons.
    b"config a;option b c\n", b"config a ;option b c\n", b"config a ; option b c ; option d e\n", b"config a; option b c\n",
    b"config 'a';option b 'c';option d 'e'", b"config 'a';option b 'c';option d 'e'\n", b"config 'a';option b 'c';\n",
    b"config 'a';option b 'c' ;", b"config 'a';;\n", b"config a\noption b ; c\n", b"config a\noption b ;\n", b"config a\noption b ;",
    b"config a\noption ; b\n", b"config a\noption b c\\;d\n", b"config a\noption b c\\d;option e f\n",
    b"config a\noption b \\\n;option e f\n", b"config a\noption b 'c;d'\n", b";config a\n", b" ; config a\n",
    // An empty word at the end of a statement.
    b"config a\noption b c ''\n", b"config a\noption b c '' option d e\n", b"config a\noption b c '' # d\n", b"config a\noption b c '' \n",
    b"config a\noption b c '' '' option d e\n", b"config a b '' option d e", b"config a\noption b c ''option d e\n",
    // Sections again.
    b"config a b\noption c d\nconfig a b\noption e f\n", b"config a b\nconfig c b\n", b"config a b\nconfig aa b\n",
    b"config a\nconfig a\nconfig b\nconfig a\n", b"config a b\noption c d\nconfig e\noption c f\nconfig a b\noption c g\n",
    // libuci's own names for anonymous sections, taken by others behind and before.
    b"config a\noption b c\nconfig a cfg01b606\noption d e\n", b"config a cfg02b606\nconfig a\noption b c\nconfig a cfg02b606\noption b d\n",
    // Options again.
    b"config a\noption b c\noption b d\noption e f\noption b g\n", b"config a\nlist b c\nlist b d\nlist b ''\nlist b\n",
    b"config a\noption b c\nlist b d\nlist b e\n", b"config a\nlist b c\nlist b d\noption b e\n", b"config a\nlist b c\noption b d\nlist b e\n",
    b"config a\nlist b c\noption b ''\n", b"config a\noption b c\noption c d\noption b eeee\nlist b f\n",
];

#[test]
fn corners() {
    for text in CASES {
        agree(text);
    }
}

/// Every prefix of every corner, and every corner with each of its bytes left out or replaced.
#[test]
fn corners_broken_in_every_place() {
    for text in CASES {
        for place in 0..text.len() {
            agree(&text[..place]);
            agree(&[&text[..place], &text[place + 1..]].concat());
            for byte in b" \n\t\r'\"\\#;a\xff" {
                agree(&[&text[..place], &[*byte], &text[place + 1..]].concat());
            }
        }
    }
}

/// libuci's name for an anonymous section `a` that is the first of its file, so that the corners above meet it.
#[test]
fn made_up_names_are_libucis() {
    let theirs = oracle(b"config a\noption b c\nconfig a cfg01b606\noption d e\n").unwrap();
    assert_eq!(theirs.len(), 1, "the name has changed: {theirs:?}");
}

#[test]
fn long_lines() {
    for length in [30, 31, 32, 33, 63, 64, 65, 127, 1023, 4096, 100_000] {
        let long = "x".repeat(length);
        let text =
            format!("config a {long}\noption {long} {long}\n\toption b '{long}\n{long}'\nlist c {long}\\\n{long}");
        agree(text.as_bytes());
        agree(format!("# {long}\nconfig a # {long}\noption b c").as_bytes());
        agree(format!("config {long}").as_bytes());
    }
}

/// Both name the same line, as long as no statement goes over several.
#[test]
fn the_line_of_an_error() {
    let errors: [&[u8]; 6] = [
        b"\n\nconfig a\n\toptoin b c\n",
        b"config a\noption b c d\n",
        b"# a\noption b c\n",
        b"config a\n\n\noption b-c d\n",
        b"config a b\nconfig c\nconfig d b\n",
        b"config a\noption b 'c'; nothing\n",
    ];
    for text in errors {
        let ours = parse(text).unwrap_err();
        let theirs = oracle(text).unwrap_err();
        assert!(theirs.contains(&format!("at line {},", ours.line)), "{ours} / {theirs}");
    }
}

/// The list of all differences that are wanted, each with both sides asserted.
#[test]
fn differs_on_purpose() {
    // A NUL byte: libuci loses what follows, up to the line's end or the end of a buffer of whatever size, and takes the next line for the rest of this
    // one. Refused.
    let swallowed = oracle(b"config a\n# b\0\noption d 'e'\n").unwrap();
    assert!(swallowed[0].options.is_empty(), "{swallowed:?}");
    assert!(parse(b"config a\n# b\0\noption d 'e'\n").is_err());
    // Bytes that are not UTF-8: replaced, in values only (everything else is ASCII in libuci too).
    let latin1 = b"config a\noption b 'caf\xe9'\n";
    assert_eq!(
        oracle(latin1).unwrap()[0].options[&b"b"[..]],
        Held::One(b"caf\xe9".to_vec())
    );
    assert_eq!(parse(latin1).unwrap().sections[0].option("b"), Some("caf\u{fffd}"));
    // Bounds: libuci has none.
    let blank = vec![b'\n'; lanward::uci::MAX_BYTES + 1];
    let sections = "c a\n".repeat(lanward::uci::MAX_SECTIONS + 1).into_bytes();
    let options: String = (0..=lanward::uci::MAX_OPTIONS)
        .map(|number| format!("o a{number} b\n"))
        .collect();
    let values = "l a b\n".repeat(lanward::uci::MAX_VALUES + 1);
    for text in [
        blank,
        sections,
        format!("c a\n{options}").into_bytes(),
        format!("c a\n{values}").into_bytes(),
    ] {
        assert!(parse(&text).is_err());
        assert!(oracle(&text).is_ok());
    }
}

/// Pieces of the grammar, right and nearly right.
#[rustfmt::skip]
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed: Vec<&'static [u8]> = vec![
        b"config", b"option", b"list", b"package", b"c", b"o", b"l", b"p", b"a", b"b", b"rule", b"x_1", b"''", b"\"\"", b"'a b'",
        b"\"a b\"", b"'", b"\"", b"\\", b"\\\n", b"\\\r\n", b"\n", b"\r\n", b" ", b"\t", b";", b"#", b" ; ", b"\n\t", b"\x0b", b"\xe9",
        b"'\n'", b"a-b", b"cfg01b606",
    ];
    prop_oneof![4 => prop::sample::select(fixed).prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(1_u8..=255, 1..4)]
}

/// A statement as people write them, with a little noise in it.
#[rustfmt::skip]
fn statement() -> impl Strategy<Value = Vec<u8>> {
    let keyword = prop::sample::select(vec!["config", "option", "list", "option", "list", "package", "c", "o", "l"]);
    let name = prop::sample::select(vec!["a", "b", "'a'", "\"b\"", "e_1", "s", "a\\\nb"]);
    let value = prop::sample::select(vec![
        "", "a", "s", "'b c'", "\"d\\\"e\"", "f\\ g", "'h\ni'", "''", "'j'\\''k'", "l#m", "n;", "'o';", "p\\\n", "q",
    ]);
    let end = prop::sample::select(vec![
        "\n", "\n", "\n", "\n\n", " \n", "\r\n", " # c\n", "#d\n", ";", " ; ", " '' ", "\\\n", " \\\n\t", "\n\t",
    ]);
    let gap = prop::sample::select(vec![" ", "\t", "  "]);
    (keyword, gap, name, value, end)
        .prop_map(|(keyword, gap, name, value, end)| format!("{keyword}{gap}{name}{gap}{value}{end}").into_bytes())
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let headed = |pieces: Vec<Vec<u8>>| [&b"config s s\noption a "[..], &pieces.concat()].concat();
    let pieces = prop::collection::vec(piece(), 0..24).prop_map(|pieces| pieces.concat());
    let value = prop::collection::vec(piece(), 0..12).prop_map(headed);
    let statements = || {
        let cut = (prop::collection::vec(statement(), 0..8), 0..3_usize);
        cut.prop_map(|(all, cut)| {
            let text = [&b"config s 's'\n"[..], &all.concat()].concat();
            text[..text.len() - cut].to_vec()
        })
    };
    prop_oneof![pieces, value, statements(), mutated(statements())]
}

fn mutated(text: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (
        text,
        prop::collection::vec((any::<prop::sample::Index>(), 1_u8..=255), 1..4),
    )
        .prop_map(|(mut text, changes)| {
            for (index, byte) in changes {
                let place = index.index(text.len());
                text[place] = byte;
            }
            text
        })
}

/// How many lines of the first text are not in the second any more, at the first one and behind it.
fn changed_lines(before: &[u8], after: &[u8]) -> usize {
    let before: Vec<&[u8]> = before.split_inclusive(|byte| *byte == b'\n').collect();
    let after: Vec<&[u8]> = after.split_inclusive(|byte| *byte == b'\n').collect();
    let head = before
        .iter()
        .zip(&after)
        .take_while(|(one, other)| one == other)
        .count();
    let rest = before.len().min(after.len()) - head;
    let tail = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take(rest)
        .take_while(|(one, other)| one == other)
        .count();
    before.len() - head - tail
}

fn cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: 4 * usual.cases,
        failure_persistence: None,
        ..usual
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_text(text in text()) {
        if let Some(difference) = difference(&text) {
            return Err(TestCaseError::fail(difference));
        }
    }

    /// libuci reads from the changed text what it read before, with that one change; and only one line is another (with those that it
    /// continues).
    #[test]
    fn one_option_set(text in text(), option in "[abx]|e_1", value in "[ab '\"\\\\#;\n\r\t]{1,6}|[01]|\\PC{1,8}") {
        let Ok(before) = parse(&text) else { return Ok(()) };
        let shown = String::from_utf8_lossy(&text).into_owned();
        let named = before.sections.iter().find_map(|section| section.name.clone());
        let section = named.clone().unwrap_or_else(|| "s".to_string());
        let after = match set_option(&text, &section, &option, &value) {
            Ok(after) => after,
            Err(error) => {
                prop_assert_eq!((&error, named), (&EditError::NoSection, None), "{:?}", shown);
                return Ok(());
            }
        };
        let mut expected = lossy(&oracle(&text).map_err(TestCaseError::fail)?);
        let target = expected.iter_mut().find(|known| known.name.as_deref() == Some(section.as_bytes())).unwrap();
        target.options.insert(option.into_bytes(), Held::One(value.into_bytes()));
        let changed = String::from_utf8_lossy(&after).into_owned();
        let found = lossy(&oracle(&after).map_err(TestCaseError::fail)?);
        prop_assert_eq!(found, expected, "{:?}\n{:?}", shown, changed);
        let continued = text.iter().filter(|byte| matches!(byte, b'\\' | b'\'' | b'"')).count();
        prop_assert!(changed_lines(&text, &after) <= 1 + continued, "{:?}\n{:?}", shown, changed);
    }
}
