//! What the tunnel leads to: something that greets as RDP, SSH or VNC do, or accepts and says nothing.

use crate::count::Count;
use crate::namespace::Namespace;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What it says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greets {
    /// X.224's connection confirm, to a connection request (RFC 1006, MS-RDPBCGR 2.2.1.2); nothing to anything else.
    Rdp,
    /// A version, as RFC 4253 has it. There is no server behind it.
    Ssh,
    /// A version, as RFC 6143 has it.
    Vnc,
    /// Something that is none of these.
    Otherwise,
    /// Nothing.
    Nothing,
}

/// A listener that sends back what it gets, once it has greeted. Until dropped; then its connections are closed.
#[derive(Debug)]
pub struct Target {
    connections: Arc<Count>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Target {
    /// Listens.
    ///
    /// # Panics
    /// If the address is not to be had.
    #[must_use]
    pub fn start(namespace: &Namespace, address: SocketAddr, greets: Greets) -> Self {
        let listener = namespace.tcp_listener(address);
        listener.set_nonblocking(true).expect("ours");
        let connections = Arc::new(Count::default());
        let (count, (end, ends)) = (Arc::clone(&connections), oneshot::channel());
        let (up, comes_up) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("it does not block");
                let _ = up.send(());
                tokio::select! {
                    () = accept(&listener, greets, &count) => {}
                    _ = ends => {}
                }
            });
        });
        comes_up.recv().expect("it is up");
        Self {
            connections,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// How many connections there were so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.get()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: &TcpListener, greets: Greets, count: &Count) {
    while let Ok((stream, _)) = listener.accept().await {
        count.add(1);
        // Its end is the connection's alone.
        tokio::spawn(async move {
            let _ = answer(stream, greets).await;
        });
    }
}

/// Whether whoever listens there greets so: what somebody at the tunnel's other end sees.
#[must_use]
pub fn greets(namespace: &Namespace, address: SocketAddr, greets: Greets) -> bool {
    use std::io::{Read, Write};
    let (hello, answer): (&[u8], &[u8]) = match greets {
        Greets::Rdp => (&HELLO, &CONFIRM[..6]),
        Greets::Ssh => (b"", b"SSH-2.0-"),
        Greets::Vnc => (b"", b"RFB 003.008\n"),
        Greets::Otherwise => (b"", b"220 "),
        Greets::Nothing => (b"", b""),
    };
    namespace.run(|| {
        let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, PATIENCE) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let mut heard = vec![0; answer.len()];
        stream.write_all(hello).is_ok() && stream.read_exact(&mut heard).is_ok() && heard == answer
    })
}

/// How long a greeting may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection request that offers TLS (MS-RDPBCGR 2.2.1.1).
const HELLO: [u8; 19] = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 1, 0, 0, 0];
/// TPKT and X.224: a connection request, up to its user data.
const REQUEST: [(usize, u8); 3] = [(0, 3), (1, 0), (5, 0xe0)];
/// A connection confirm with the answer that TLS is spoken (MS-RDPBCGR 2.2.1.2.1).
const CONFIRM: [u8; 19] = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 1, 0, 0, 0];

async fn answer(mut stream: TcpStream, greets: Greets) -> std::io::Result<()> {
    match greets {
        Greets::Rdp => {
            let mut head = [0; 6];
            stream.read_exact(&mut head).await?;
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let is_request = REQUEST.iter().all(|(at, byte)| head[*at] == *byte);
            if !is_request || length < 11 || usize::from(head[4]) != length - 5 {
                return Ok(());
            }
            let mut rest = vec![0; length - head.len()];
            stream.read_exact(&mut rest).await?;
            stream.write_all(&CONFIRM).await?;
        }
        Greets::Ssh => stream.write_all(b"SSH-2.0-rig\r\n").await?,
        Greets::Vnc => stream.write_all(b"RFB 003.008\n").await?,
        Greets::Otherwise => stream.write_all(b"220 rig ready\r\n").await?,
        Greets::Nothing => {
            let mut heard = [0; 1024];
            while stream.read(&mut heard).await? > 0 {}
            return Ok(());
        }
    }
    let mut heard = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut heard).await? {
            0 => return Ok(()),
            length => stream.write_all(&heard[..length]).await?,
        }
    }
}
