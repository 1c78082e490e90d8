//! As much of HTTP/1.1 as a browser needs: requests with a length, answers with a length, connections that stay.

use serde_json::Value;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest head of a request.
const MAX_HEAD: usize = 16 << 10;
/// The longest body.
const MAX_BODY: usize = 1 << 20;
/// How long a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon a waiting connection sees that the server ends.
const GLANCE: Duration = Duration::from_millis(100);

/// What a browser asks for.
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub body: Vec<u8>,
}

/// What it gets.
pub struct Response {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
}

impl Response {
    pub fn json(value: &Value) -> Self {
        Self {
            status: 200,
            kind: "application/json",
            body: value.to_string().into_bytes(),
        }
    }

    pub fn text(status: u16, text: &str) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: text.as_bytes().to_vec(),
        }
    }

    pub fn file(path: &Path) -> Self {
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "application/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("json") => "application/json",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        };
        match fs::read(path) {
            Ok(body) => Self {
                status: 200,
                kind,
                body,
            },
            Err(_) => Self::text(404, "not found"),
        }
    }

    fn send(&self, mut stream: &TcpStream) -> io::Result<()> {
        let word = if self.status == 200 { "OK" } else { "Failed" };
        let head = format!(
            "HTTP/1.1 {} {word}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n\r\n",
            self.status,
            self.kind,
            self.body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        stream.write_all(&bytes)
    }
}

/// Answers the connection's requests until it ends, is silent for too long, or `end` is set.
pub fn serve(stream: &TcpStream, end: &AtomicBool, answer: impl Fn(&Request) -> Response) {
    let _ = stream.set_nodelay(true);
    let set = stream.set_read_timeout(Some(GLANCE));
    if set.is_err() || stream.set_write_timeout(Some(PATIENCE)).is_err() {
        return;
    }
    let mut reader = Reader {
        stream,
        end,
        buffer: Vec::new(),
    };
    while let Some(request) = reader.request() {
        let response = match request {
            Ok(request) => answer(&request),
            Err(status) => {
                let _ = Response::text(status, "not understood").send(stream);
                return;
            }
        };
        if response.send(stream).is_err() {
            return;
        }
    }
}

struct Reader<'a> {
    stream: &'a TcpStream,
    end: &'a AtomicBool,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// The next request, or the status for one that cannot be read.
    fn request(&mut self) -> Option<Result<Request, u16>> {
        let length = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > MAX_HEAD {
                return Some(Err(431));
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..length]).into_owned();
        self.buffer.drain(..length + 4);
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let mut wanted = 0;
        for (name, value) in headers {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => match value.trim().parse() {
                    Ok(length) if length <= MAX_BODY => wanted = length,
                    _ => return Some(Err(413)),
                },
                "transfer-encoding" => return Some(Err(411)),
                _ => {}
            }
        }
        while self.buffer.len() < wanted {
            self.more()?;
        }
        let body = self.buffer.drain(..wanted).collect();
        let path = target.split('?').next().unwrap_or_default().to_owned();
        Some(Ok(Request { method, path, body }))
    }

    fn more(&mut self) -> Option<()> {
        let began = Instant::now();
        let mut bytes = [0; 8192];
        while !self.end.load(Ordering::Relaxed) && began.elapsed() < PATIENCE {
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(length) => {
                    self.buffer.extend_from_slice(&bytes[..length]);
                    return Some(());
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        None
    }
}
