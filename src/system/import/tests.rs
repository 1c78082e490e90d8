use super::*;
use proptest::prelude::*;

/// `printf 'one\ntwo\n' | gzip -n9`.
const PACKED: &[u8] = &[
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xcb, 0xcf, 0x4b, 0xe5, 0x2a, 0x29, 0xcf, 0xe7, 2, 0, 0xe6, 0x0b, 0xba, 0x12,
    8, 0, 0, 0,
];

/// Gives at most so many bytes at a time.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    most: usize,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.most.min(out.len()).min(self.bytes.len() - self.at);
        out[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn read(bytes: &[u8], most: usize) -> (Vec<Vec<u8>>, Result<(), String>) {
    let source = Source {
        name: "log".to_owned(),
        input: Box::new(Pieces {
            bytes: bytes.to_vec(),
            at: 0,
            most,
        }),
        total: None,
        written: None,
    };
    let (mut lines, mut last) = (Vec::new(), 0);
    let result = source.read(&mut |line| lines.push(line.to_vec()), &mut |done, _| last = done);
    if result.is_ok() {
        assert_eq!(last, bytes.len() as u64);
    }
    (lines, result)
}

/// What [`read`] gives, as text.
fn lines(bytes: &[u8]) -> (String, Result<(), String>) {
    let (lines, result) = read(bytes, 1);
    assert_eq!(read(bytes, usize::MAX), (lines.clone(), result.clone()));
    let lines: Vec<String> = lines
        .iter()
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    (lines.join("|"), result)
}

#[test]
fn lines_are_cut_where_they_end() {
    for (text, wanted) in [
        ("", ""),
        ("one", "one"),
        ("one\n", "one"),
        ("one\r\n\ntwo", "one\r||two"),
        ("\x1f", "\x1f"),
        ("\x1f\n", "\x1f"),
        ("\0", "\0"),
    ] {
        assert_eq!(lines(text.as_bytes()), (wanted.to_owned(), Ok(())), "{text:?}");
    }
}

#[test]
fn of_a_longer_line_is_given_just_enough_to_see_that_it_is() {
    for length in [LONGEST_LINE, LONGEST_LINE + 1, LONGEST_LINE + 2, 3 * PIECE] {
        let text = format!("{}\ntwo", "x".repeat(length));
        for most in [100, usize::MAX] {
            let (lines, _) = read(text.as_bytes(), most);
            assert_eq!(lines[0].len(), length.min(LONGEST_LINE + 1));
            assert_eq!(lines[1], b"two");
        }
    }
}

#[test]
fn gzip_is_known_by_its_first_bytes_and_may_have_several_members() {
    let whole = || ("one|two".to_owned(), Ok(()));
    assert_eq!(lines(PACKED), whole());
    assert_eq!(lines(&[PACKED, &[0; 600]].concat()), whole());
    assert_eq!(
        lines(&[PACKED, PACKED].concat()),
        ("one|two|one|two".to_owned(), Ok(()))
    );
    // With everything that a head can have.
    let head = [
        &[0x1f, 0x8b, 8, 0x1f, 0, 0, 0, 0, 2, 3, 3, 0][..],
        b"abcname\0comment\0",
        &[1, 2],
    ]
    .concat();
    assert_eq!(lines(&[&head, &PACKED[10..]].concat()), whole());
    let head = [&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 2, 3, 0, 0][..]].concat();
    assert_eq!(lines(&[&head, &PACKED[10..]].concat()), whole());
}

#[test]
fn damage_is_named_with_its_place_and_whole_lines_before_it_count() {
    let told = |bytes: &[u8]| {
        let (lines, result) = lines(bytes);
        (lines, result.unwrap_err())
    };
    let (text, error) = told(&PACKED[..PACKED.len() - 1]);
    assert_eq!(
        (text.as_str(), error.as_str()),
        (
            "one|two",
            "log: byte 27: this gzip file ends too early; the lines before it are read"
        )
    );
    // In the middle of the second line: it is not given.
    assert_eq!(told(&PACKED[..17]).0, "one");
    let mut bad = PACKED.to_vec();
    bad[21] ^= 1;
    let (text, error) = told(&bad);
    assert_eq!(text, "one|two");
    assert!(
        error.starts_with("log: byte 27: this gzip file is damaged (its checksum is another) here"),
        "{error}"
    );
    bad[10] = 0xff;
    assert!(told(&bad).1.starts_with("log: byte 10: this gzip file is damaged here"));
    let (text, error) = told(&[PACKED, b"x"].concat());
    assert_eq!(text, "one|two");
    assert!(
        error.starts_with("log: byte 28: this gzip file is followed by something else"),
        "{error}"
    );
    assert!(told(&[0x1f, 0x8b, 7])
        .1
        .contains("byte 2: this gzip file is not deflated"));
    assert!(told(&[0x1f, 0x8b, 8, 0x20, 0, 0, 0, 0, 0, 0])
        .1
        .contains("byte 9: this gzip file is of a kind"));
}

#[test]
fn what_cannot_be_opened_is_named() {
    let error = |name: &str| Source::open(name).err().unwrap();
    assert!(error("/nonexistent/log").starts_with("/nonexistent/log: "));
    assert_eq!(error("/"), "/: a directory: name the files in it");
    assert!(Source::open("/dev/null").unwrap().written().is_none());
    assert!(Source::open(file!()).unwrap().written().is_some());
}

proptest! {
    #[test]
    fn any_pieces_of_any_bytes_are_the_same_lines(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), most in 1..40_usize) {
        let (found, result) = read(&bytes, most);
        if !bytes.starts_with(&MAGIC) {
            prop_assert_eq!(&result, &Ok(()));
            let mut wanted: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            wanted.pop_if(|last| last.is_empty());
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn no_damage_to_a_packed_file_makes_it_panic(changes in prop::collection::vec((0..PACKED.len(), any::<u8>()), 0..4), most in 1..40_usize) {
        let mut bytes = PACKED.to_vec();
        changes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        bytes[..2].copy_from_slice(&MAGIC);
        let (lines, result) = read(&bytes, most);
        prop_assert!(result.is_err() || changes.is_empty() || lines == [b"one", b"two"]);
    }
}
