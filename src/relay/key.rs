//! Keys: the relay's, to be known again, and ours, in the form that the client at hand reads. Source of the formats: OpenSSH's `PROTOCOL.key`, `sshkey.c` and
//! `hostfile.c`; dropbear's `signkey.c`, `ed25519.c` and `cli-kex.c`.

use crate::spa::crypt::{decode, encode, sum, Kind as Digest};
use zeroize::Zeroizing;

/// The longest base64 of a public key: with a host's name in front it still fits into the 4500 bytes that dropbear reads of a line.
const LONGEST: usize = 4096;
/// The largest file of a private key: RSA with 16384 bits is half of that.
const LARGEST_FILE: usize = 32 * 1024;
/// ed25519's public part, its seed, and its private part, which is both.
const PART: usize = 32;
const ED25519: &str = "ssh-ed25519";

/// The types of public keys, and how many strings follow the type.
const TYPES: [(&str, usize); 7] = [
    (ED25519, 1),
    ("ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384", 2),
    ("ecdsa-sha2-nistp521", 2),
    ("ssh-rsa", 2),
    ("sk-ssh-ed25519@openssh.com", 2),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 3),
];

/// A public key, as `known_hosts` has it behind the host.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey {
    line: String,
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.write_str(&self.line)
    }
}

impl HostKey {
    /// A key's type and its base64, possibly with a comment behind.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence: "the host key …".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut words = text.split_ascii_whitespace();
        let kind = words.next().ok_or("is empty")?;
        if kind.starts_with("SHA256:") || kind.starts_with("MD5:") {
            return Err("is only a fingerprint: the whole key is needed, as in known_hosts");
        }
        let (kind, strings) = TYPES
            .iter()
            .find(|(known, _)| *known == kind)
            .ok_or("does not begin with a known type, such as ssh-ed25519")?;
        let coded = words.next().ok_or("has nothing behind its type")?;
        if coded.len() > LONGEST {
            return Err("is too long");
        }
        let blob = bytes(coded.as_bytes()).ok_or("is not base64 behind its type")?;
        let mut reader = Reader(&blob);
        if reader.string() != Some(kind.as_bytes()) {
            return Err("is of another type than it says, or cut off");
        }
        for _ in 0..*strings {
            let part = reader.string().ok_or("is cut off")?;
            if part.is_empty() || *kind == ED25519 && part.len() != PART {
                return Err("has a part of the wrong length");
            }
        }
        if !reader.0.is_empty() {
            return Err("has something behind its end");
        }
        Ok(Self {
            line: line(kind, &blob),
        })
    }

    /// Its type and its base64.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Its type, such as `ssh-ed25519`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.halves().0
    }

    fn halves(&self) -> (&str, &str) {
        self.line.split_once(' ').unwrap_or((&self.line, ""))
    }

    /// `SHA256:` and the digest's base64 without `=`, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let blob = bytes(self.halves().1.as_bytes()).unwrap_or_default();
        "SHA256:".to_owned() + &sum(Digest::Sha256, &[&blob]).text()
    }
}

/// `known_hosts` for OpenSSH, which looks for what `HostKeyAlias` says, without the port.
#[must_use]
pub fn known_hosts_openssh(alias: &str, key: &HostKey) -> String {
    [alias, " ", &key.line, "\n"].concat()
}

/// `~/.ssh/known_hosts` for dropbear's client, which compares the host with the one on its command line letter by letter, knows no port, and only looks at keys
/// of the type that the two have agreed on: with a key of another type it asks whether to go on.
#[must_use]
pub fn known_hosts_dropbear(host: &str, key: &HostKey) -> String {
    known_hosts_openssh(host, key)
}

/// The first key that a client has written down, with whatever host.
#[must_use]
pub fn offered(known_hosts: &[u8]) -> Option<HostKey> {
    let known_hosts = known_hosts.get(..LARGEST_FILE).unwrap_or(known_hosts);
    known_hosts.split(|byte| *byte == b'\n').find_map(|line| {
        let (host, key) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        let is_host = !host.starts_with(['#', '@']);
        HostKey::parse(key).ok().filter(|_| is_host)
    })
}

/// Whose form a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text between `-----BEGIN` and `-----END`; also those that OpenSSH inherited.
    OpenSsh,
    /// dropbear's bytes.
    Dropbear,
}

/// What is in a private key's file.
pub enum KeyFile {
    /// An ed25519 key, which can be written in either form.
    Ed25519(PrivateKey),
    /// Another key: the file is for the client of its form alone.
    Other(Form),
}

/// An ed25519 key. Wiped when dropped; shows nothing of itself.
pub struct PrivateKey {
    /// The seed and the public part, together on the heap, so that no copy stays where it was moved from.
    secret: Zeroizing<Vec<u8>>,
}

impl PrivateKey {
    /// What is in the file.
    ///
    /// # Errors
    /// Why it is of no use, as the end of a sentence: "the key file …"; nothing of the key.
    pub fn parse(file: &[u8]) -> Result<KeyFile, &'static str> {
        if file.len() > LARGEST_FILE {
            return Err("is too large for a key");
        }
        let text = file.trim_ascii_start();
        if text.starts_with(b"-----BEGIN ") {
            return pem(text);
        }
        if text.starts_with(b"PuTTY-User-Key-File-") {
            return Err("is PuTTY's: export it as an OpenSSH key");
        }
        if text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-") {
            return Err("holds a public key: the private one is needed");
        }
        if file.is_empty() {
            return Err("is empty");
        }
        dropbear(file).ok_or("is no private key, neither OpenSSH's nor dropbear's")
    }

    fn public(&self) -> &[u8] {
        self.secret.get(PART..).unwrap_or_default()
    }

    /// The public key, in the form of a host key.
    #[must_use]
    pub fn public_key(&self) -> HostKey {
        let mut blob = Vec::new();
        put(&mut blob, ED25519.as_bytes());
        put(&mut blob, self.public());
        HostKey {
            line: line(ED25519, &blob),
        }
    }

    /// The line for `authorized_keys`: the public key and a comment, from which control characters are taken.
    #[must_use]
    pub fn public_line(&self, comment: &str) -> String {
        let comment: String = comment.chars().filter(|letter| !letter.is_control()).collect();
        [self.public_key().line(), " ", &comment]
            .concat()
            .trim_end()
            .to_string()
    }

    /// The file as OpenSSH has it, without a passphrase and a comment.
    #[must_use]
    pub fn openssh(&self) -> Zeroizing<Vec<u8>> {
        const LINE: usize = 70;
        // Of their full sizes at once: what a list leaves behind when it grows is not wiped.
        let mut inside = Zeroizing::new(Vec::with_capacity(136));
        // Two equal numbers, by which is seen whether it was decrypted rightly; here they may be any.
        for _ in 0..2 {
            inside.extend(self.public().iter().take(4));
        }
        put(&mut inside, ED25519.as_bytes());
        put(&mut inside, self.public());
        put(&mut inside, &self.secret);
        put(&mut inside, b"");
        // Filled up to a multiple of eight.
        for byte in 1..=7 {
            if inside.len() % 8 != 0 {
                inside.push(byte);
            }
        }
        let mut blob = Zeroizing::new(Vec::with_capacity(256));
        blob.extend(MAGIC);
        for part in [b"none", &b"none"[..], b""] {
            put(&mut blob, part);
        }
        blob.extend([0, 0, 0, 1]);
        blob.extend([0, 0, 0, 51]);
        put(&mut blob, ED25519.as_bytes());
        put(&mut blob, self.public());
        put(&mut blob, &inside);
        let mut file = Zeroizing::new(Vec::with_capacity(512));
        file.extend(BEGIN);
        let text = encode(&blob);
        let padding = padding(text.len());
        for part in text.as_bytes().chunks(LINE) {
            file.push(b'\n');
            file.extend(part);
        }
        file.extend(padding.as_bytes());
        file.push(b'\n');
        file.extend(END);
        file.push(b'\n');
        file
    }

    /// The file as dropbear has it.
    #[must_use]
    pub fn dropbear(&self) -> Zeroizing<Vec<u8>> {
        let mut file = Zeroizing::new(Vec::with_capacity(96));
        put(&mut file, ED25519.as_bytes());
        put(&mut file, &self.secret);
        file
    }
}

const MAGIC: &[u8] = b"openssh-key-v1\0";
const BEGIN: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &[u8] = b"-----END OPENSSH PRIVATE KEY-----";
const BROKEN: &str = "is damaged: it begins as an OpenSSH key, but is none";
const ENCRYPTED: &str = "has a passphrase: nobody is there to type it, so a key without one is needed";

/// A file between `-----BEGIN` and `-----END`.
fn pem(text: &[u8]) -> Result<KeyFile, &'static str> {
    let Some(body) = text.strip_prefix(BEGIN) else {
        let title = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let has = |text: &[u8], word: &[u8]| text.windows(word.len()).any(|part| part == word);
        return match () {
            () if has(text, b"ENCRYPTED") => Err(ENCRYPTED),
            () if has(title, b" PRIVATE KEY-----") => Ok(KeyFile::Other(Form::OpenSsh)),
            () => Err("holds something else than a private key"),
        };
    };
    let end = body.windows(END.len()).position(|part| part == END).ok_or(BROKEN)?;
    let mut coded = Zeroizing::new(Vec::with_capacity(end));
    coded.extend(
        body.get(..end)
            .unwrap_or_default()
            .iter()
            .filter(|byte| !byte.is_ascii_whitespace()),
    );
    let blob = bytes(&coded).ok_or(BROKEN)?;
    let mut reader = Reader(blob.strip_prefix(MAGIC).ok_or(BROKEN)?);
    let cipher = reader.string().ok_or(BROKEN)?;
    if cipher != b"none" {
        return Err(ENCRYPTED);
    }
    openssh(reader).ok_or(BROKEN)
}

/// What follows the cipher's name.
fn openssh(mut reader: Reader) -> Option<KeyFile> {
    reader.string().filter(|derivation| *derivation == b"none")?;
    reader.string()?;
    reader.number().filter(|keys| *keys == 1)?;
    let mut public = Reader(reader.string()?);
    let mut inside = Reader(reader.string().filter(|_| reader.0.is_empty())?);
    let kind = public.string().filter(|kind| !kind.is_empty())?;
    if kind != ED25519.as_bytes() {
        return Some(KeyFile::Other(Form::OpenSsh));
    }
    let public = public
        .string()
        .filter(|part| part.len() == PART && public.0.is_empty())?;
    let check = inside.number()?;
    inside.number().filter(|again| *again == check)?;
    inside.string().filter(|again| *again == kind)?;
    inside.string().filter(|again| *again == public)?;
    let secret = inside.string()?;
    inside.string()?;
    let filled = (1_u8..).zip(inside.0).all(|(right, byte)| right == *byte);
    key(secret)
        .filter(|key| filled && key.public() == public)
        .map(KeyFile::Ed25519)
}

/// dropbear's bytes: the type as in a public key, then the parts.
fn dropbear(file: &[u8]) -> Option<KeyFile> {
    let mut reader = Reader(file);
    let kind = reader.string()?;
    if kind == ED25519.as_bytes() {
        let secret = reader.string().filter(|_| reader.0.is_empty())?;
        return key(secret).map(KeyFile::Ed25519);
    }
    let known = kind.starts_with(b"ssh-") || kind.starts_with(b"ecdsa-sha2-");
    let more = reader.string().is_some_and(|part| !part.is_empty());
    (known && more).then_some(KeyFile::Other(Form::Dropbear))
}

fn key(secret: &[u8]) -> Option<PrivateKey> {
    (secret.len() == 2 * PART).then(|| PrivateKey {
        secret: Zeroizing::new(secret.to_vec()),
    })
}

/// SSH's strings and numbers (RFC 4251, 5), one after the other.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

/// A string as SSH has it. All that is written here is short.
fn put(out: &mut Vec<u8>, string: &[u8]) {
    let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(string);
}

fn line(kind: &str, blob: &[u8]) -> String {
    let coded = encode(blob);
    [kind, " ", &coded, padding(coded.len())].concat()
}

/// What fills base64 of that length up.
fn padding(length: usize) -> &'static str {
    ["", "", "==", "="][length % 4]
}

/// What base64 with or without its `=` says.
fn bytes(coded: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let bare = coded.strip_suffix(b"=").unwrap_or(coded);
    let bare = bare.strip_suffix(b"=").unwrap_or(bare);
    let rightly = bare.len() == coded.len() || bare.len() + padding(bare.len()).len() == coded.len();
    let mut buffer = Zeroizing::new(vec![0; bare.len() * 3 / 4]);
    decode(bare, &mut buffer)?;
    rightly.then_some(buffer)
}

#[cfg(test)]
mod tests;
