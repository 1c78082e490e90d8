//! A web server as a router's: static files, `/ubus` as uhttpd speaks it, and what stands behind that on a router, namely rpcd's sessions,
//! its configuration and its files. Beside it, below `/rig`, what a test in a browser wants to do to the house.
//!
//! With `LANWARD_LUCI` a real uhttpd with LuCI serves the pages, and this one is only for `/rig`.

mod house;
mod http;
mod objects;
mod rpc;
mod session;
mod uci;

pub use objects::Objects;

use crate::home::Home;
use crate::namespace::Namespace;
use http::{Request, Response};
use rpc::Rpc;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where the pages' files are.
#[derive(Debug, Clone)]
pub struct Site {
    /// The app's directory: `luci-app/luci-app-lanward`.
    pub app: PathBuf,
    /// The stand-in for LuCI's framework: `tests/browser/luci`.
    pub stand_in: PathBuf,
    /// What the package puts into the router's file system: `files`.
    pub files: PathBuf,
}

/// The server. Dropped, it is gone with its connections.
pub struct Web {
    address: SocketAddr,
    namespace: Namespace,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What every connection has.
struct Shared {
    site: Site,
    rpc: Rpc,
    rig: house::Rig,
    end: AtomicBool,
}

/// The page that every path of the app below this leads to.
const PAGES: &str = "/cgi-bin/luci/admin/services/lanward";

impl Web {
    /// Listens on 127.0.0.1 in this namespace, on a port of the system's choice.
    ///
    /// # Errors
    /// The system's; that the app's ACL file cannot be read; that the objects do not get on the bus.
    pub fn start(namespace: &Namespace, site: Site, home: Arc<Mutex<Home>>) -> io::Result<Self> {
        let (socket, config) = {
            let home = lock(&home);
            (home.house.directory().join("ubus.sock"), home.house.config_dir())
        };
        let objects = Objects::start(&socket, Arc::clone(&home))?;
        let acl = site.app.join("root/usr/share/rpcd/acl.d/luci-app-lanward.json");
        let rpc = Rpc::new(&socket, config, site.files.clone(), &acl)?;
        let listener = namespace.tcp_listener((Ipv4Addr::LOCALHOST, 0).into());
        let address = listener.local_addr()?;
        let rig = house::Rig::new(home, objects, socket);
        let shared = Arc::new(Shared {
            site,
            rpc,
            rig,
            end: AtomicBool::new(false),
        });
        let (accepting, ticking) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::spawn(move || {
                let mut connections: Vec<JoinHandle<()>> = Vec::new();
                while let Ok((stream, peer)) = listener.accept() {
                    if accepting.ends() {
                        break;
                    }
                    connections.retain(|connection| !connection.is_finished());
                    let shared = Arc::clone(&accepting);
                    connections.push(std::thread::spawn(move || {
                        http::serve(&stream, &shared.end, |request| shared.answer(request, peer));
                    }));
                }
                for connection in connections {
                    let _ = connection.join();
                }
            }),
            std::thread::spawn(move || {
                while !ticking.ends() {
                    ticking.rpc.tick();
                    std::thread::sleep(Duration::from_millis(50));
                }
            }),
        ];
        Ok(Self {
            address,
            namespace: namespace.clone(),
            shared,
            threads,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        let address = self.address;
        let _ = self.namespace.run(|| TcpStream::connect(address));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn ends(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    fn answer(&self, request: &Request, peer: SocketAddr) -> Response {
        let path = request.path.trim_end_matches('/');
        match (request.method.as_str(), path) {
            ("POST", "/ubus") => Response::json(&self.rpc.answer(&request.body)),
            ("POST", _) if path.starts_with("/rig/") => match self.rig.call(&path[5..], &request.body, &self.rpc) {
                Ok(value) => Response::json(&value),
                Err(why) => Response::text(500, &why),
            },
            ("GET", _) => self.file(path, peer),
            _ => Response::text(405, "no such method here"),
        }
    }

    fn file(&self, path: &str, peer: SocketAddr) -> Response {
        let site = &self.site;
        if let Some(page) = path.strip_prefix(PAGES) {
            return match page {
                "/address" => Response::json(&serde_json::json!({ "address": peer.ip().to_string() })),
                _ => Response::file(&site.stand_in.join("index.html")),
            };
        }
        match path {
            "/luci-static/stand-in/menu.json" => {
                Response::file(&site.app.join("root/usr/share/luci/menu.d/luci-app-lanward.json"))
            }
            "/luci-static/stand-in/ja.po" => Response::file(&site.app.join("po/ja/lanward.po")),
            _ => {
                let roots = [
                    ("/luci-static/stand-in/", site.stand_in.clone()),
                    ("/luci-static/resources/", site.app.join("htdocs/luci-static/resources")),
                ];
                let below = roots
                    .iter()
                    .find_map(|(prefix, root)| below(root, path.strip_prefix(prefix)?));
                below.map_or_else(|| Response::text(404, "not found"), |file| Response::file(&file))
            }
        }
    }
}

/// A file below a directory, by a path that cannot lead out of it.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let is_plain = |part: &str| {
        let is_known = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
        !part.starts_with('.') && !part.is_empty() && part.bytes().all(is_known)
    };
    path.split('/').all(is_plain).then(|| root.join(path))
}

/// What a panicking neighbour held is whole enough for a test.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
