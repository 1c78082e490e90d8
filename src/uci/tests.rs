use super::*;

fn one(text: &str) -> Section {
    parse(text.as_bytes()).unwrap().sections.remove(0)
}

fn error(text: &str) -> (usize, usize, String) {
    let error = parse(text.as_bytes()).unwrap_err();
    (error.line, error.column, error.message)
}

#[test]
fn reads_the_usual() {
    let text = "package lanward\n\nconfig gate 'ssh'\n\toption enabled '0'\n\tlist service 'tcp:22' # here\n\tlist service \"tcp:80\"\nconfig rule\nconfig rule\n";
    let package = parse(text.as_bytes()).unwrap();
    assert_eq!(package.sections.len(), 3);
    let gate = &package.sections[0];
    assert_eq!(
        (gate.kind.as_str(), gate.name.as_deref(), gate.line),
        ("gate", Some("ssh"), 3)
    );
    assert_eq!(gate.option("enabled"), Some("0"));
    assert_eq!(gate.words("service"), ["tcp:22", "tcp:80"]);
    assert_eq!(package.sections[2].label(), "@rule[1]");
}

#[test]
fn tells_where_the_error_is() {
    assert_eq!(
        error("config a\n  optoin b c\n"),
        (2, 3, "not a command: package, config, option or list".into())
    );
    assert_eq!(error("config a\n option b 'c\n\n").0, 2);
    assert_eq!(error("config a\n option b 'c\n\n").1, 11);
    assert_eq!(error("config a\n\toption b c d\n").1, 13);
    assert_eq!(error("option b c\n").0, 1);
    assert_eq!(error("config a\n\0"), (2, 1, "a NUL byte".into()));
}

#[test]
fn holds_to_its_bounds() {
    let sections = "config a\n".repeat(MAX_SECTIONS);
    assert_eq!(parse(sections.as_bytes()).unwrap().sections.len(), MAX_SECTIONS);
    assert_eq!(error(&(sections + "config a\n")).0, MAX_SECTIONS + 1);
    let options: String = (0..=MAX_OPTIONS)
        .map(|number| format!("option a{number} b\n"))
        .collect();
    assert_eq!(error(&format!("config a\n{options}")).0, MAX_OPTIONS + 2);
    let values = "l a b\n".repeat(MAX_VALUES + 1);
    assert_eq!(error(&format!("config a\n{values}")).0, MAX_VALUES + 2);
    assert_eq!(error(&"\n".repeat(MAX_BYTES + 1)).2, "the file is too large");
    assert!(parse(&vec![b'\n'; MAX_BYTES]).is_ok());
}

#[test]
fn reads_what_is_not_utf8_lossily() {
    let package = parse(b"config a # \xff\n\toption b 'caf\xe9'\n").unwrap();
    assert_eq!(package.sections[0].option("b"), Some("caf\u{fffd}"));
    assert!(parse(b"config a\n\toption \xe9 b\n").is_err());
}

#[test]
fn keeps_the_corners_of_the_semicolon() {
    assert_eq!(one("config a\noption b c;option d e\n").options.len(), 1);
    assert_eq!(one("config a\noption b 'c';option d e\n").options.len(), 2);
    assert_eq!(one("config a\noption b c ; option d e\n").options.len(), 2);
    assert_eq!(one("config a\noption b c '' option d e\n").options.len(), 2);
}

fn edited(text: &str, option: &str, value: &str) -> String {
    String::from_utf8(set_option(text.as_bytes(), "s", option, value).unwrap()).unwrap()
}

#[test]
fn changes_one_value() {
    let text = "# top\nconfig a 's' # here\n\toption  b\t\"0\"   # why\n\n\toption c 1\n";
    assert_eq!(edited(text, "b", "1"), text.replace("\"0\"", "'1'"));
    assert_eq!(edited(text, "c", "it's"), text.replace("c 1", r"c 'it'\''s'"));
}

#[test]
fn adds_an_option_behind_the_last() {
    let text = "config a s\n    option b 0\n    # more\n\nconfig a t\n\toption b 0\n";
    assert_eq!(
        edited(text, "d", "1"),
        text.replace("    # more", "    option d '1'\n    # more")
    );
    assert_eq!(edited("config a s\r\n", "d", "1"), "config a s\r\n\toption d '1'\r\n");
    assert_eq!(edited("config a s", "d", "1"), "config a s\n\toption d '1'\n");
}

#[test]
fn changes_the_one_that_counts() {
    assert_eq!(
        edited("config a s\no b 0\no b 1\nconfig a t\nconfig a s\no c 1\n", "b", "2"),
        "config a s\no b 0\no b '2'\nconfig a t\nconfig a s\no c 1\n"
    );
    assert_eq!(
        edited("config a s\nlist b 0\nlist b 1\n", "b", "2"),
        "config a s\nlist b 0\noption b '2'\n"
    );
    assert_eq!(edited("config a s\noption b\n", "b", "2"), "config a s\noption b '2'\n");
}

#[test]
fn stays_clear_of_the_corners() {
    assert_eq!(
        edited("config a s\noption b 0;option c 1\n", "b", "2"),
        "config a s\noption b '2'#;option c 1\n"
    );
    assert_eq!(
        edited("config a s ; option c 1 ; config a t\n", "b", "2"),
        "config a s ; option c 1 ; option b '2' ; config a t\n"
    );
    assert_eq!(
        edited("config a s\noption c 1\\", "b", "2"),
        "config a s\noption c 1\\\n\noption b '2'\n"
    );
    assert_eq!(
        edited("config a s\noption c ;;", "b", "2"),
        "config a s\noption c ;;#\noption b '2'\n"
    );
}

#[test]
fn refuses_what_uci_cannot_hold() {
    let text = b"config a s\nconfig a\n";
    assert_eq!(set_option(text, "t", "b", "1"), Err(EditError::NoSection));
    assert_eq!(set_option(text, "cfg02b5c6", "b", "1"), Err(EditError::NoSection));
    assert_eq!(set_option(text, "s", "b c", "1"), Err(EditError::InvalidName));
    assert_eq!(set_option(text, "s", "b", ""), Err(EditError::InvalidValue));
    assert_eq!(set_option(text, "s", "b", "a\0b"), Err(EditError::InvalidValue));
    assert!(matches!(
        set_option(b"config", "s", "b", "1"),
        Err(EditError::Syntax(_))
    ));
}

#[test]
fn an_option_is_added_above_a_statement_that_only_a_semicolon_ends() {
    let text = b"config s 's'\nlist 'a'0n;;c a n;\n\nconfig 'a' l#m\n\n";
    let changed = set_option(text, "s", "a", "\\").unwrap();
    assert_eq!(
        String::from_utf8_lossy(&changed),
        "config s 's'\noption a '\\'\nlist 'a'0n;;c a n;\n\nconfig 'a' l#m\n\n"
    );
}
