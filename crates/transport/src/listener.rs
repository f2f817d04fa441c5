// SPDX-License-Identifier: Apache-2.0
//! Accepts connections: handshakes run in the background, so a slow or hostile dialler does not hold up the others.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use crate::channel::Channel;
use crate::connection::{Connection, deadline, welcome};
use crate::fault::{Cause, Fault};
use crate::tls::{Identity, Pin};
use crate::{SLICE, contained, lock};

/// Handshakes under way at once; further diallers are dropped and have to dial again.
const HANDSHAKES_MAX: usize = 64;
/// Of these, handshakes with one source, so that one host cannot take them all.
const HANDSHAKES_PER_SOURCE_MAX: usize = 16;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections, or refusals, that wait for `accept`.
const BACKLOG: usize = 64;

/// A listening socket that hands out authenticated connections.
pub struct Listener {
    address: SocketAddr,
    allowed: Arc<RwLock<HashSet<Pin>>>,
    ready: Mutex<Receiver<Result<Connection, Fault>>>,
    idle: Mutex<Option<Acceptor>>,
    closed: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the accepting thread will own.
struct Acceptor {
    socket: TcpListener,
    config: Arc<ServerConfig>,
    ready: SyncSender<Result<Connection, Fault>>,
    closed: Arc<AtomicBool>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.address)
    }
}

impl Listener {
    /// Listens on `host:port` as `identity`; port 0 takes a free one. Diallers wait until `allow`.
    pub fn bind(host: &str, port: u16, identity: &Identity) -> Result<Self, Fault> {
        let failed = |e: std::io::Error| {
            Fault::new(
                Cause::Unreachable,
                format!("cannot listen on {host}:{port}: {}", e.kind()),
            )
        };
        let socket = TcpListener::bind((host, port)).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let allowed = Arc::new(RwLock::new(HashSet::new()));
        let config = identity.server_config(allowed.clone())?;
        let closed = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = sync_channel(BACKLOG);
        Ok(Listener {
            address,
            allowed,
            ready: Mutex::new(receiver),
            idle: Mutex::new(Some(Acceptor {
                socket,
                config,
                ready: sender,
                closed: closed.clone(),
            })),
            closed,
            thread: Mutex::new(None),
        })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Accepts from now on exactly the certificates with these pins.
    pub fn allow(&self, pins: impl IntoIterator<Item = Pin>) -> Result<(), Fault> {
        *self
            .allowed
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = pins.into_iter().collect();
        if let Some(acceptor) = lock(&self.idle).take() {
            let thread = std::thread::Builder::new()
                .name("tacit-accept".into())
                .spawn(move || acceptor.run())
                .map_err(|e| {
                    Fault::new(Cause::Misuse, format!("no thread to accept: {}", e.kind()))
                })?;
            *lock(&self.thread) = Some(thread);
        }
        Ok(())
    }

    /// The next connection, or the fault of the next refused one.
    pub fn accept(
        &self,
        timeout: Duration,
        poll: &mut dyn FnMut() -> Result<(), Fault>,
    ) -> Result<Connection, Fault> {
        let deadline = deadline(timeout);
        let ready = lock(&self.ready);
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(Fault::new(Cause::Misuse, "the listener is closed"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match ready.recv_timeout(left.min(SLICE)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Fault::new(Cause::Misuse, "the listener is closed"));
                }
                Err(RecvTimeoutError::Timeout) => poll()?,
            }
            if Instant::now() >= deadline {
                let what = format!("nobody connected within {} s", timeout.as_secs_f64());
                return Err(Fault::new(Cause::Unreachable, what));
            }
        }
    }

    /// Stops listening.
    pub fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        if lock(&self.idle).take().is_some() {
            return;
        }
        // A dial of our own wakes the blocked `accept`; portable, unlike timeouts on listening sockets.
        let mut own = self.address;
        if own.ip().is_unspecified() {
            own.set_ip(match own.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let woken = TcpStream::connect_timeout(&own, Duration::from_secs(1));
        if let Some(thread) = lock(&self.thread).take()
            && woken.is_ok()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// Handshakes under way, by source.
type Slots = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One handshake's place among those under way, until it is dropped.
struct Slot {
    taken: Slots,
    source: IpAddr,
}

impl Slot {
    fn take(taken: &Slots, address: IpAddr) -> Option<Self> {
        let source = source(address);
        let mut counts = lock(taken);
        let mine = counts.get(&source).copied().unwrap_or(0);
        if mine >= HANDSHAKES_PER_SOURCE_MAX || counts.values().sum::<usize>() >= HANDSHAKES_MAX {
            return None;
        }
        counts.insert(source, mine + 1);
        Some(Slot {
            taken: taken.clone(),
            source,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = lock(&self.taken);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

/// What counts as one source: an IPv4 address, or the 64-bit prefix of an IPv6 one, of which a host has many.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

impl Acceptor {
    fn run(self) {
        let taken = Slots::default();
        loop {
            let accepted = self.socket.accept();
            if self.closed.load(Ordering::Acquire) {
                return;
            }
            let Ok((stream, address)) = accepted else {
                // Out of file descriptors, or a dialler gone again: neither is a reason to spin or to stop.
                std::thread::sleep(SLICE);
                continue;
            };
            let Some(slot) = Slot::take(&taken, address.ip()) else {
                continue;
            };
            let (config, ready) = (self.config.clone(), self.ready.clone());
            let closed = self.closed.clone();
            // Without a thread the connection is dropped, and its slot with it.
            let _ = std::thread::Builder::new()
                .name("tacit-handshake".into())
                .spawn(move || {
                    // A full backlog drops the connection: the dialler sees it closed and may dial again.
                    let result = contained(|| handshake(stream, config, &closed));
                    let _ = ready.try_send(result.unwrap_or_else(Err));
                    drop(slot);
                });
        }
    }
}

fn handshake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    closed: &AtomicBool,
) -> Result<Connection, Fault> {
    let mut poll = |_: Duration| {
        if closed.load(Ordering::Acquire) {
            Err(Fault::interrupted())
        } else {
            Ok(())
        }
    };
    // Whatever a dialler does before it is known, even a reset, is its own failure and none of the listener.
    Channel::server(stream, config, deadline(HANDSHAKE_TIMEOUT), &mut poll)
        .and_then(|mut channel| {
            channel.write(&welcome(), &[], &mut poll)?;
            Connection::new(channel)
        })
        .map_err(|fault| match fault.cause {
            Cause::Interrupted => fault,
            _ => Fault {
                cause: Cause::Refused,
                ..fault
            },
        })
}
