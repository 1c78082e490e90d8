//! The packages that `package/build.sh` makes of a program: taken apart as opkg does, byte for byte.
//!
//! `LANWARD_OPKG` names opkg itself, `LANWARD_APK` apk of apk-tools 3 (built for this machine): then these install, upgrade and remove them in a
//! directory.

#![allow(clippy::unwrap_used)]

use lanward_rig::report_line::{not_asked, this_test};
use lanward_rig::scratch::Scratch;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const EPOCH: u64 = 1_700_000_000;
const ARCH: &str = "mips_24kc";
/// Stands for the daemon: what is packed need not run here.
const PROGRAM: &str = "#!/bin/sh\necho lanward, says a test\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `package/build.sh` of a tree.
fn build(tree: &Path, into: &Path, arch: &str) -> Command {
    fs::create_dir_all(into).unwrap();
    let program = into.join("program");
    fs::write(&program, PROGRAM).unwrap();
    let mut command = Command::new(tree.join("package/build.sh"));
    command.arg("--program").arg(program);
    command.arg("--into").arg(into.join("dist")).arg(arch);
    command.env("SOURCE_DATE_EPOCH", EPOCH.to_string());
    command.env_remove("APK").stdin(Stdio::null());
    command
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("the program can be started");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A tree in which a packaging run may be disturbed.
fn copy(into: &Path) {
    fs::create_dir_all(into).unwrap();
    let mut command = Command::new("cp");
    command.arg("-R").current_dir(root());
    command.args(["package", "files", "luci-app", "Cargo.toml", "Cargo.lock"]);
    command.args(["LICENSE-MIT", "LICENSE-APACHE"]).arg(into);
    succeed(&mut command);
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    // Magic, deflate, no flags (so no name), no time.
    assert_eq!(
        bytes[..8],
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0],
        "what gzip says of the machine"
    );
    let scratch = Scratch::new("package");
    let file = scratch.join("file.gz");
    fs::write(&file, bytes).unwrap();
    succeed(Command::new("gzip").arg("-dc").arg(file)).stdout
}

#[derive(Debug, PartialEq, Eq)]
struct Member {
    name: String,
    mode: u64,
    directory: bool,
    content: Vec<u8>,
}

/// The members of a tar, having checked what is the same for all: root's, of the commit's time, plain files or directories.
fn untar(bytes: &[u8]) -> Vec<Member> {
    let text = |field: &[u8]| {
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        String::from_utf8(field[..end].to_vec()).unwrap()
    };
    let number = |field: &[u8]| u64::from_str_radix(text(field).trim(), 8).unwrap();
    let mut members = Vec::new();
    let mut rest = bytes;
    while rest[0] != 0 {
        let (header, after) = rest.split_at(512);
        let name = text(&header[..100]);
        assert_eq!(&header[257..265], b"ustar  \0", "{name}: GNU's format, as OpenWrt's");
        assert_eq!((number(&header[108..116]), number(&header[116..124])), (0, 0), "{name}");
        assert_eq!(
            (text(&header[265..297]), text(&header[297..329])),
            (String::new(), String::new()),
            "{name}"
        );
        assert_eq!(number(&header[136..148]), EPOCH, "{name}");
        let kind = header[156];
        assert!(matches!(kind, b'0' | b'5'), "{name}: of kind {kind}");
        let size = usize::try_from(number(&header[124..136])).unwrap();
        members.push(Member {
            name,
            mode: number(&header[100..108]),
            directory: kind == b'5',
            content: after[..size].to_vec(),
        });
        rest = &after[size.div_ceil(512) * 512..];
    }
    assert!(rest.iter().all(|byte| *byte == 0), "behind the last member");
    members
}

/// A package taken apart.
struct Package {
    control: BTreeMap<String, Member>,
    data: BTreeMap<String, Member>,
    /// What a router stores: the uncompressed data archive.
    archive: Vec<u8>,
}

impl Package {
    fn open(path: &Path) -> Self {
        let outer = untar(&gunzip(&fs::read(path).unwrap()));
        let names: Vec<_> = outer.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["./debian-binary", "./data.tar.gz", "./control.tar.gz"]);
        assert!(outer.iter().all(|member| member.mode == 0o644));
        assert_eq!(outer[0].content, b"2.0\n");
        let archive = gunzip(&outer[1].content);
        Self {
            control: by_name(untar(&gunzip(&outer[2].content))),
            data: by_name(untar(&archive)),
            archive,
        }
    }

    fn text(&self, name: &str) -> String {
        let member = self.control.get(name).unwrap_or_else(|| panic!("no {name}"));
        String::from_utf8(member.content.clone()).unwrap()
    }

    fn field(&self, name: &str) -> Option<String> {
        let control = self.text("/control");
        let value = control
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))?;
        Some(value.to_owned())
    }

    /// The files' paths.
    fn files(&self) -> Vec<&str> {
        let files = self.data.iter().filter(|(_, member)| !member.directory);
        files.map(|(name, _)| name.as_str()).collect()
    }
}

fn by_name(members: Vec<Member>) -> BTreeMap<String, Member> {
    // As a tree is walked: `a/b` before `a.c`.
    let names: Vec<_> = members.iter().map(|member| member.name.replace('/', "\0")).collect();
    assert!(names.is_sorted(), "{names:?}");
    let mut found = BTreeMap::new();
    for member in members {
        let name = member
            .name
            .strip_prefix('.')
            .expect("a path from the root of the archive");
        assert!(name.starts_with('/') && !name.contains(".."), "{name}");
        assert_eq!(name.ends_with('/'), member.directory, "{name}");
        found.insert(name.to_owned(), member);
    }
    found
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A directory's files by the path that they get, with their bytes.
fn contents(from: &str, to: &str) -> Vec<(String, Vec<u8>)> {
    let directory = root().join(from);
    let files = files_below(&directory).into_iter();
    files
        .map(|path| {
            let name = format!("{to}/{}", path.strip_prefix(&directory).unwrap().display());
            (name, fs::read(&path).unwrap())
        })
        .collect()
}

fn version() -> String {
    concat!(env!("CARGO_PKG_VERSION"), "-r1").to_owned()
}

fn name_of(package: &str, arch: &str) -> String {
    format!("{package}_{}_{arch}.ipk", version())
}

const PAGE: [&str; 2] = ["luci-app-lanward", "luci-i18n-lanward-ja"];

/// All packages, by name.
fn packages() -> BTreeMap<&'static str, Package> {
    let scratch = Scratch::new("package");
    succeed(&mut build(root(), &scratch, ARCH));
    let mut packages = BTreeMap::new();
    let mut expected = vec!["SHA256SUMS".to_owned(), "sizes.txt".to_owned()];
    for (name, arch) in [("lanward", ARCH), (PAGE[0], "all"), (PAGE[1], "all")] {
        let file = name_of(name, arch);
        packages.insert(name, Package::open(&scratch.join("dist").join(&file)));
        expected.push(file);
    }
    let files = files_below(&scratch.join("dist"));
    let mut found: Vec<_> = files
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    succeed(
        Command::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(scratch.join("dist")),
    );
    packages
}

/// JavaScript or CSS without comments and white space, also in texts: what minifying leaves as it is.
fn bare(name: &str, content: &[u8]) -> String {
    let text = std::str::from_utf8(content).unwrap();
    let script = name.ends_with(".js");
    let mut found = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let mut end = character.len_utf8();
        if rest.starts_with("/*") {
            rest = &rest[rest.find("*/").unwrap() + 2..];
            continue;
        }
        if matches!(character, '\'' | '"') {
            let mut inside = rest.char_indices().skip(1);
            loop {
                match inside
                    .next()
                    .unwrap_or_else(|| panic!("{name}: a text without end: {rest:.40}"))
                {
                    (_, '\\') => drop(inside.next()),
                    (at, one) if one == character => break end = at + 1,
                    _ => (),
                }
            }
        }
        found.extend(rest[..end].chars().filter(|one| !one.is_whitespace()));
        rest = &rest[end..];
    }
    if script {
        found
    } else {
        found.replace(";}", "}")
    }
}

#[test]
fn every_file_is_in_its_package_and_no_other() {
    let packages = packages();
    let daemon = &packages["lanward"];
    let mut expected = vec![("/usr/sbin/lanward".to_owned(), PROGRAM.as_bytes().to_vec())];
    expected.extend(contents("files", ""));
    let mut page = contents("luci-app/luci-app-lanward/root", "");
    page.extend(contents("luci-app/luci-app-lanward/htdocs", "/www"));
    for (package, mut expected) in [(daemon, expected), (&packages[PAGE[0]], page)] {
        expected.sort();
        let names: Vec<_> = expected.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(package.files(), names);
        for (name, content) in &expected {
            let packed = &package.data[name].content;
            let equal = match name.rsplit_once('.') {
                Some((_, "js" | "css")) => packed.len() < content.len() && bare(name, packed) == bare(name, content),
                _ => packed == content,
            };
            assert!(equal, "{name}: other bytes");
        }
    }
    assert_eq!(
        packages[PAGE[1]].files(),
        [
            "/etc/uci-defaults/luci-i18n-lanward-ja",
            "/usr/lib/lua/luci/i18n/lanward.ja.lmo"
        ]
    );
}

/// What the page may take of a router's flash, and of the way to it.
#[test]
fn the_page_is_small() {
    let scratch = Scratch::new("package");
    succeed(&mut build(root(), &scratch, ARCH));
    let bytes = fs::metadata(scratch.join("dist").join(name_of(PAGE[0], "all")))
        .unwrap()
        .len();
    assert!(bytes <= 60 * 1024, "{bytes} bytes");
}

#[test]
fn modes_are_those_that_openwrt_gives() {
    for (package, parts) in packages() {
        for (name, member) in &parts.data {
            let program = ["/usr/sbin/", "/etc/init.d/", "/etc/uci-defaults/"];
            let expected = match name.as_str() {
                _ if member.directory => 0o755,
                // LuCI's own are read by a shell, not run.
                "/etc/uci-defaults/luci-i18n-lanward-ja" => 0o644,
                name if program.iter().any(|directory| name.starts_with(directory)) => 0o755,
                name if name.starts_with("/etc/config/") => 0o600,
                _ => 0o644,
            };
            assert_eq!(member.mode, expected, "{package}: {name}: {:o}", member.mode);
        }
        for (name, member) in &parts.control {
            let plain = ["/control", "/conffiles"].contains(&name.as_str());
            assert_eq!(member.mode, if plain { 0o644 } else { 0o755 }, "{package}: {name}");
        }
    }
}

#[test]
fn the_control_files_say_what_opkg_asks_for() {
    let packages = packages();
    for (name, package) in &packages {
        let field = |name: &str| package.field(name);
        assert_eq!(field("Package").as_deref(), Some(*name));
        assert_eq!(field("Version"), Some(version()), "{name}: Cargo.toml and the Makefile");
        assert_eq!(field("License").as_deref(), Some(env!("CARGO_PKG_LICENSE")));
        assert_eq!(field("Installed-Size"), Some(package.archive.len().to_string()));
        assert_eq!(field("SourceDateEpoch"), Some(EPOCH.to_string()));
        assert!(field("Description").is_some_and(|text| text.len() > 20), "{name}");
        assert!(field("Maintainer").is_some());
        let own = *name == "lanward";
        assert_eq!(field("Architecture").as_deref(), Some(if own { ARCH } else { "all" }));
        assert_eq!(field("Section").as_deref(), Some(if own { "net" } else { "luci" }));
        assert_eq!(field("Require-User").as_deref(), own.then_some("lanward:lanward"));
        // Each line a field, as opkg's parser wants it.
        for line in package.text("/control").lines() {
            let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line:?}"));
            assert!(!value.trim().is_empty() && !field.contains(' '), "{name}: {line:?}");
        }
        for (script, function) in [("/postinst", "default_postinst"), ("/prerm", "default_prerm")] {
            let text = package.text(script);
            assert!(
                text.starts_with("#!/bin/sh\n") && text.contains(&format!("\n{function} \"$0\" \"$@\"\n")),
                "{name}: {text}"
            );
        }
        for (name, member) in &package.control {
            if member.mode == 0o755 && !member.directory {
                let script = Scratch::new("package");
                fs::write(script.join("script"), &member.content).unwrap();
                succeed(Command::new("sh").arg("-n").arg(script.join("script")));
                assert!(member.content.starts_with(b"#!/bin/sh\n"), "{name}");
            }
        }
    }
    let daemon = &packages["lanward"];
    let depends = daemon.field("Depends").unwrap();
    let depends: Vec<_> = depends.split(", ").collect();
    for needed in [
        "firewall4",
        "nftables",
        "kmod-nft-core",
        "kmod-nft-fib",
        "kmod-nf-conntrack-netlink",
        "kmod-nfnetlink-log",
    ] {
        assert!(depends.contains(&needed), "{depends:?}");
    }
    assert!(depends.iter().all(|name| name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')));
    assert_eq!(
        packages[PAGE[0]].field("Depends").as_deref(),
        Some("luci-base, lanward")
    );
    assert_eq!(packages[PAGE[1]].field("Depends").as_deref(), Some(PAGE[0]));
    // What opkg keeps when the user has changed it.
    assert_eq!(daemon.text("/conffiles"), "/etc/config/lanward\n");
    assert!(daemon.data.contains_key("/etc/config/lanward"));
    let removal = fs::read_to_string(root().join("package/lanward/prerm-pkg")).unwrap();
    assert_eq!(daemon.text("/prerm-pkg"), removal);
    assert!(packages[PAGE[0]]
        .text("/postinst-pkg")
        .contains("/etc/init.d/rpcd reload"));
}

/// `po2lmo.py` is tested for itself; here: that its work is what is packed, and can be read as LuCI does.
#[test]
fn the_catalogue_can_be_read() {
    let packages = packages();
    let package = &packages[PAGE[1]];
    let lmo = &package.data["/usr/lib/lua/luci/i18n/lanward.ja.lmo"].content;
    let word = |at: usize| u32::from_be_bytes(lmo[at..at + 4].try_into().unwrap()) as usize;
    let index = word(lmo.len() - 4);
    let entries = (lmo.len() - 4 - index) / 16;
    let mut translations = Vec::new();
    let mut last = 0;
    for entry in 0..entries {
        let at = index + 16 * entry;
        assert!(word(at) >= last, "LuCI searches by halves");
        last = word(at);
        let (offset, length) = (word(at + 8), word(at + 12));
        assert!(offset + length <= index);
        translations.push(std::str::from_utf8(&lmo[offset..offset + length]).unwrap());
    }
    let po = fs::read_to_string(root().join("luci-app/luci-app-lanward/po/ja/lanward.po")).unwrap();
    let lines = po
        .lines()
        .filter_map(|line| line.strip_prefix("msgstr \"")?.strip_suffix('"'));
    let single: Vec<_> = lines.filter(|text| !text.is_empty() && !text.contains('\\')).collect();
    assert!(single.len() > 10);
    for text in single {
        assert!(translations.contains(&text), "{text}");
    }
    let language = &package.data["/etc/uci-defaults/luci-i18n-lanward-ja"].content;
    assert_eq!(
        String::from_utf8_lossy(language),
        "uci set luci.languages.ja='日本語 (Japanese)'; uci commit luci\n"
    );
}

#[test]
fn the_same_tree_gives_the_same_bytes_anywhere() {
    let scratch = Scratch::new("package");
    let mut dists = Vec::new();
    for (place, umask, zone, language) in [
        ("one", "022", "UTC", "C"),
        ("another/that-is-deeper", "077", "Asia/Tokyo", "C.UTF-8"),
    ] {
        let tree = scratch.join(place);
        copy(&tree);
        // Files of another age, and as another umask would have checked them out.
        let mut command = Command::new("find");
        command.arg(&tree).args(["-exec", "touch", "-d"]);
        command
            .arg(if umask == "022" { "2001-01-01" } else { "2031-12-31" })
            .args(["{}", "+"]);
        succeed(&mut command);
        if umask == "077" {
            succeed(Command::new("chmod").arg("-R").arg("go=").arg(&tree));
        }
        let into = scratch.join(format!("{place} into"));
        let inner = build(&tree, &into, ARCH);
        let apk = std::env::var_os("LANWARD_APK").unwrap_or_default();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("umask {umask} && exec \"$@\"")).arg("sh");
        command.arg(inner.get_program()).args(inner.get_args());
        command.env("SOURCE_DATE_EPOCH", EPOCH.to_string());
        command
            .env("APK", apk)
            .env("TZ", zone)
            .env("LC_ALL", language)
            .env("USER", place);
        command
            .env("HOME", &into)
            .env("MAKEFLAGS", "-j4")
            .env("GZIP", "")
            .env("TAR_OPTIONS", "--owner=7");
        succeed(&mut command);
        dists.push(into.join("dist"));
    }
    let files = files_below(&dists[0]);
    assert!(files.len() >= 5, "{files:?}");
    for file in &files {
        let name = file.file_name().unwrap();
        let (one, other) = (fs::read(file).unwrap(), fs::read(dists[1].join(name)).unwrap());
        assert!(one == other, "{name:?} depends on where it was made");
    }
    // What is inside says nothing of the place either.
    let place = scratch.file_name().unwrap().to_str().unwrap();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "ipk"))
    {
        let package = Package::open(file);
        for (name, member) in package.data.iter().chain(&package.control) {
            let text = String::from_utf8_lossy(&member.content);
            for trace in [place, root().to_str().unwrap(), "/home/", "/root/", "BEGIN OPENSSH"] {
                assert!(!text.contains(trace), "{}: {name} contains {trace}", file.display());
            }
        }
    }
}

#[test]
fn what_is_wrong_ends_the_build_and_says_so() {
    let scratch = Scratch::new("package");
    let fail = |command: &mut Command, says: &str| {
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains(says),
            "{}: {error}",
            output.status
        );
    };
    fail(
        &mut build(root(), &scratch, "z80"),
        "no such architecture in package/targets: z80",
    );
    let mut missing = build(root(), &scratch, ARCH);
    fs::remove_file(scratch.join("program")).unwrap();
    fail(&mut missing, "program");
    let tree = scratch.join("a tree");
    copy(&tree);
    fail(&mut build(&tree, &scratch, ARCH), "a path with a blank");
    // A file that the Makefile names and the tree does not have.
    let tree = scratch.join("tree");
    copy(&tree);
    fs::remove_file(tree.join("files/etc/init.d/lanward")).unwrap();
    fail(&mut build(&tree, &scratch, ARCH), "etc/init.d/lanward");
    // A catalogue that cannot be converted.
    let tree = scratch.join("another-tree");
    copy(&tree);
    fs::write(
        tree.join("luci-app/luci-app-lanward/po/ja/lanward.po"),
        "msgid \"a\"\nmsgstr \"b\nc\"\n",
    )
    .unwrap();
    fail(&mut build(&tree, &scratch, ARCH), "lanward.po");
}

/// The sections that a mips program's kernel never reads go, and nothing that it reads.
#[test]
fn stripping_sections_leaves_a_program_that_runs() {
    let scratch = Scratch::new("package");
    let stripped = scratch.join("true");
    let mut command = Command::new(root().join("package/strip-sections.py"));
    succeed(command.arg("/bin/true").arg(&stripped));
    let before = fs::metadata("/bin/true").unwrap().len();
    assert!(fs::metadata(&stripped).unwrap().len() < before);
    assert_eq!(fs::metadata(&stripped).unwrap().permissions().mode() & 0o777, 0o755);
    succeed(&mut Command::new(&stripped));
    let mut again = Command::new(root().join("package/strip-sections.py"));
    assert!(!again
        .arg("/etc/passwd")
        .arg(&stripped)
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success());
}

/// As the packages feed's continuous integration calls it.
#[test]
fn the_feeds_test_passes_with_this_version_only() {
    let test = |package: &str, version: &str| {
        let mut command = Command::new(root().join("package/lanward/test.sh"));
        let program = Path::new(env!("CARGO_BIN_EXE_lanward")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        command.args([package, version]).env("PATH", path);
        command.output().unwrap().status.success()
    };
    assert!(test("lanward", env!("CARGO_PKG_VERSION")));
    assert!(!test("lanward", "0.0.9"));
    assert!(!test("luci-app-lanward", env!("CARGO_PKG_VERSION")));
}

/// A router's root that has what lanward depends on, and opkg to work in it.
struct Router {
    opkg: PathBuf,
    root: PathBuf,
}

impl Router {
    fn new(opkg: PathBuf, root: PathBuf, installed: &[&str]) -> Self {
        for directory in ["usr/lib/opkg/info", "etc/opkg", "tmp", "var/lock"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(
            root.join("etc/opkg.conf"),
            format!("dest root /\narch all 1\narch {ARCH} 10\n"),
        )
        .unwrap();
        let mut status = String::new();
        for name in installed {
            let provides = if *name == "nftables-json" {
                "Provides: nftables\n"
            } else {
                ""
            };
            status += &format!(
                "Package: {name}\nVersion: 1\n{provides}Status: install user installed\nArchitecture: all\nInstalled-Time: 1\n\n"
            );
            fs::write(root.join(format!("usr/lib/opkg/info/{name}.list")), "").unwrap();
        }
        fs::write(root.join("usr/lib/opkg/status"), status).unwrap();
        // Where OpenWrt's functions would work, these write down that they were asked to.
        let functions = ["postinst", "prerm"].map(|name| {
            format!(
                "default_{name}() {{ echo \"{name} ${{PKG_UPGRADE:-0}} ${{1##*/}}\" >>\"$IPKG_INSTROOT/calls\"; }}\n"
            )
        });
        fs::create_dir_all(root.join("lib")).unwrap();
        fs::write(root.join("lib/functions.sh"), functions.concat()).unwrap();
        Self { opkg, root }
    }

    fn opkg(&self, words: &[&str]) -> Output {
        let mut command = Command::new(&self.opkg);
        // As OpenWrt's image builder runs it: else no script runs, or none finds its functions.
        command.env("IPKG_INSTROOT", &self.root);
        command.arg("--force-postinstall");
        command.arg("--offline-root").arg(&self.root);
        command.arg("--conf").arg(self.root.join("etc/opkg.conf"));
        command
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("opkg can be started")
    }

    fn does(&self, words: &[&str]) -> String {
        let output = self.opkg(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "opkg {words:?}: {}\n{text}", output.status);
        assert!(!text.contains("Collected errors"), "opkg {words:?}: {text}");
        text
    }

    /// What OpenWrt's functions were asked to do since this was last asked: function, whether for an upgrade, for which script.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.root.join("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.root.join("calls"));
        calls.lines().map(str::to_owned).collect()
    }

    fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }
}

#[test]
fn opkg_installs_upgrades_and_removes_them() {
    let Some(opkg) = std::env::var_os("LANWARD_OPKG").filter(|path| !path.is_empty()) else {
        return not_asked(&this_test(), "LANWARD_OPKG does not say where opkg is");
    };
    let scratch = Scratch::new("package");
    let tree = scratch.join("tree");
    copy(&tree);
    let first = scratch.join("first");
    succeed(&mut build(&tree, &first, ARCH));
    // The next release, with a file less and another default.
    for makefile in ["package/lanward/Makefile", "luci-app/luci-app-lanward/Makefile"] {
        let text = fs::read_to_string(tree.join(makefile)).unwrap();
        fs::write(tree.join(makefile), text.replace("PKG_RELEASE:=1", "PKG_RELEASE:=2")).unwrap();
    }
    fs::write(tree.join("files/etc/config/lanward"), "config lanward 'lanward'\n").unwrap();
    fs::remove_file(tree.join("luci-app/luci-app-lanward/htdocs/luci-static/resources/view/lanward/style.css"))
        .unwrap();
    let second = scratch.join("second");
    succeed(&mut build(&tree, &second, ARCH));
    let package = |into: &Path, name: &str| {
        let found = files_below(&into.join("dist"))
            .into_iter()
            .map(|path| path.display().to_string());
        let mut found = found.filter(|path| path.contains(&format!("/{name}_")));
        found.next().unwrap_or_else(|| panic!("{name}"))
    };

    let needs = [
        "firewall4",
        "nftables-json",
        "kmod-nft-core",
        "kmod-nft-fib",
        "kmod-nf-conntrack-netlink",
        "kmod-nfnetlink-log",
        "luci-base",
    ];
    let bare = Router::new(PathBuf::from(&opkg), scratch.join("bare"), &needs[..5]);
    let refused = bare.opkg(&["install", &package(&first, "lanward")]);
    assert!(!refused.status.success() && !bare.has("usr/sbin/lanward"));
    let says = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        says.contains("kmod-nfnetlink-log") && !says.contains("kmod-nft-fib"),
        "{says}"
    );

    let router = Router::new(PathBuf::from(opkg), scratch.join("router"), &needs);
    for name in ["lanward", PAGE[0], PAGE[1]] {
        router.does(&["install", &package(&first, name)]);
        let status = router.does(&["status", name]);
        assert!(
            status.contains("Status: install user installed") || status.contains("ok installed"),
            "{status}"
        );
        assert!(status.contains(&format!("Version: {}", version())), "{status}");
    }
    for file in files_below(&root().join("files")) {
        let name = file.strip_prefix(root().join("files")).unwrap();
        assert_eq!(
            fs::read(&file).unwrap(),
            fs::read(router.root.join(name)).unwrap(),
            "{name:?}"
        );
    }
    let config = router.root.join("etc/config/lanward");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(
        fs::read_to_string(router.root.join("usr/sbin/lanward")).unwrap(),
        PROGRAM
    );
    let listed = router.does(&["files", "lanward"]);
    assert!(
        listed.contains("/usr/share/nftables.d/ruleset-post/50-lanward.nft"),
        "{listed}"
    );

    let calls = router.calls();
    assert_eq!(calls[0], "postinst 0 lanward.postinst", "{calls:?}");
    assert_eq!(calls.len(), 3, "{calls:?}");

    // What the user wrote stays, and the new default lies beside it.
    let mine = fs::read_to_string(&config).unwrap() + "# mine\n";
    fs::write(&config, &mine).unwrap();
    for name in ["lanward", PAGE[0], PAGE[1]] {
        router.does_upgrade(&package(&second, name));
    }
    // The old package's prerm (else it would take the table away), then the new one's postinst.
    let calls = router.calls();
    assert_eq!(
        calls[..2],
        ["prerm 1 lanward.prerm", "postinst 1 lanward.postinst"],
        "{calls:?}"
    );
    assert_eq!(fs::read_to_string(&config).unwrap(), mine);
    assert!(router.does(&["status", "lanward"]).contains("-r2"));
    assert!(
        !router.has("www/luci-static/resources/view/lanward/style.css"),
        "a file that is no more"
    );
    assert!(router.has("www/luci-static/resources/view/lanward/overview.js"));

    // A package that others need stays; then all go, but not what the user wrote.
    let output = router.opkg(&["remove", "lanward"]);
    assert!(
        router.has("usr/sbin/lanward"),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    for name in [PAGE[1], PAGE[0], "lanward"] {
        router.does(&["remove", name]);
    }
    assert_eq!(router.calls().last().map(String::as_str), Some("prerm 0 lanward.prerm"));
    let left: Vec<_> = files_below(&router.root)
        .into_iter()
        .map(|path| path.strip_prefix(&router.root).unwrap().display().to_string())
        .filter(|path| !path.starts_with("usr/lib/opkg/") && path != "etc/opkg.conf" && path != "lib/functions.sh")
        .collect();
    assert!(
        left.iter().all(|path| path.starts_with("etc/config/lanward"))
            && left.contains(&"etc/config/lanward".to_owned()),
        "{left:?}"
    );
    assert_eq!(fs::read_to_string(&config).unwrap(), mine);
}

impl Router {
    /// As `opkg install` of a newer file does it: opkg says that it left the user's file alone, and calls that an error.
    fn does_upgrade(&self, package: &str) {
        let output = self.opkg(&["install", package]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains("Upgrading"),
            "{package}: {text}"
        );
        for line in text.lines().filter(|line| line.starts_with(" * ")) {
            assert!(line.contains("conffile"), "{package}: {text}");
        }
    }
}

/// The same for the format of OpenWrt 25.12.
#[test]
fn apk_installs_upgrades_and_removes_them() {
    let Some(apk) = std::env::var_os("LANWARD_APK").filter(|path| !path.is_empty()) else {
        return not_asked(&this_test(), "LANWARD_APK does not say where apk of apk-tools 3 is");
    };
    let scratch = Scratch::new("package");
    let tree = scratch.join("tree");
    copy(&tree);
    let first = scratch.join("first");
    succeed(build(&tree, &first, ARCH).env("APK", &apk));
    let makefile = tree.join("package/lanward/Makefile");
    let text = fs::read_to_string(&makefile).unwrap();
    fs::write(&makefile, text.replace("PKG_RELEASE:=1", "PKG_RELEASE:=2")).unwrap();
    fs::write(tree.join("files/etc/config/lanward"), "config lanward 'lanward'\n").unwrap();
    let second = scratch.join("second");
    succeed(build(&tree, &second, ARCH).env("APK", &apk));

    let router = scratch.join("router");
    fs::create_dir_all(router.join("empty")).unwrap();
    let run = |words: &[&str], files: &[PathBuf]| {
        let mut command = Command::new(&apk);
        command
            .arg("--root")
            .arg(&router)
            .args(["--arch", ARCH, "--allow-untrusted", "--no-network"]);
        // What the scripts need is a router; the firmware of another machine is none of theirs.
        command.args(["--no-scripts", "--repositories-file", "/dev/null"]);
        command.args(words).args(files);
        command.output().unwrap()
    };
    let ours = |into: &Path| {
        let files = files_below(&into.join("dist")).into_iter();
        let files: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|end| end == "apk"))
            .collect();
        assert_eq!(files.len(), 3);
        files
    };
    let output = run(&["add", "--initdb"], &ours(&first));
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && says.contains("kmod-nfnetlink-log (no such package)"),
        "{says}"
    );

    let mut all = ours(&first);
    for name in [
        "firewall4",
        "nftables",
        "kmod-nft-core",
        "kmod-nft-fib",
        "kmod-nf-conntrack-netlink",
        "kmod-nfnetlink-log",
        "luci-base",
    ] {
        let file = scratch.join(format!("{name}.apk"));
        let mut command = Command::new(&apk);
        command.args([
            "mkpkg",
            "--info",
            &format!("name:{name}"),
            "--info",
            "version:1-r0",
            "--info",
            "arch:noarch",
        ]);
        command
            .arg("--files")
            .arg(router.join("empty"))
            .arg("--output")
            .arg(&file);
        succeed(&mut command);
        all.push(file);
    }
    let done = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !text.contains("ERROR"), "{text}");
    };
    done(&run(&["add", "--initdb"], &all));
    for (name, content) in contents("files", "") {
        assert_eq!(fs::read(router.join(&name[1..])).unwrap(), content, "{name}");
    }
    let read = |name: &str| fs::read_to_string(router.join(name)).unwrap();
    assert_eq!(read("usr/sbin/lanward"), PROGRAM);
    let config = router.join("etc/config/lanward");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o7777, 0o600);
    // What OpenWrt's functions read.
    let lists = "lib/apk/packages/lanward";
    assert_eq!(read(&format!("{lists}.rusers")), "lanward:lanward\n");
    assert_eq!(read(&format!("{lists}.conffiles")), "/etc/config/lanward\n");
    assert!(read(&format!("{lists}.list")).contains("\n/etc/init.d/lanward\n"));
    let static_sum = read(&format!("{lists}.conffiles_static"));
    let sum = succeed(Command::new("sha256sum").arg(&config)).stdout;
    assert_eq!(
        static_sum,
        format!("/etc/config/lanward {}\n", String::from_utf8_lossy(&sum[..64]))
    );

    let mine = read("etc/config/lanward") + "# mine\n";
    fs::write(&config, &mine).unwrap();
    done(&run(&["add"], &ours(&second)));
    let version = format!("P:lanward\nV:{}-r2\n", env!("CARGO_PKG_VERSION"));
    assert!(read("lib/apk/db/installed").contains(&version));
    assert_eq!(read("etc/config/lanward"), mine);
    done(&run(&["del", "lanward", PAGE[0], PAGE[1]], &[]));
    assert!(!router.join("usr/sbin/lanward").exists() && !router.join("lib/apk/packages").exists());
    assert_eq!(read("etc/config/lanward"), mine);
}
