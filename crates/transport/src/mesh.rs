// SPDX-License-Identifier: Apache-2.0
//! The lock-step rounds of all parties of a session, over one sending and one receiving connection per peer.
//!
//! Threads: the caller's own thread encrypts and writes what it sends; messages to several peers that are large are
//! written by scoped threads side by side, straight from the caller's buffers. Small messages it also reads, others a
//! thread per peer (see `receiver`). Per peer one pacer sends heartbeats, and frames that an emulated network delays.
//!
//! Nothing can deadlock: a party announces what it expects before it sends, while it sends its readers take every
//! frame that is announced, and early frames are taken up to a bound, where their sender waits: nothing of its next
//! one is read, and its socket fills. So of all parties the one that has posted least can always send its next step,
//! and when all have posted what they post ahead, everything arrives.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connection::{Connection, deadline};
use crate::fault::{Cause, Fault};
use crate::frame::{HEADER_BYTES, Header, Kind, SessionId};
use crate::inbox::{Inbox, Messages};
use crate::link::{Link, Queue, Tx};
use crate::receiver::Shared;
use crate::{SLICE, contained, lock};

/// An emulated network: every party has one uplink of this rate, and every frame arrives this much later.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// One-way latency, half of the round-trip time.
    pub latency: Duration,
    /// Uplink of one party, shared by its peers.
    pub bytes_per_second: f64,
}

/// Bounds of a mesh; the same at all parties.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest payload of one frame.
    pub frame_bytes_max: u64,
    /// Early frames of one peer that are taken before reading pauses, in bytes.
    pub early_bytes_max: u64,
    /// The number of such frames.
    pub early_frames_max: usize,
    /// Longest silence of a live peer.
    pub silence: Duration,
    /// Longest wait for the messages of one step, while their senders come no nearer to it.
    pub step_timeout: Duration,
    /// Emulated network, if any.
    pub network: Option<Network>,
}

/// Exact counts since the mesh was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Exchanges in which this party sent or expected anything.
    pub rounds: u64,
    /// DATA frames sent.
    pub frames: u64,
    /// Payload bytes of DATA frames sent.
    pub payload_bytes_sent: u64,
    /// Payload bytes of DATA frames received by an exchange.
    pub payload_bytes_received: u64,
    /// Bytes given to TCP on the sending connections: payloads, headers, heartbeats, TLS.
    pub wire_bytes_sent: u64,
}

/// What can happen while parties agree on the cause of an abort.
#[derive(Debug)]
pub enum Event {
    /// A peer's record of the cause, as JSON.
    Abort(usize, Vec<u8>),
    /// Nothing more will come from this peer.
    Lost(usize),
}

/// From this size on, messages to several peers are written by several threads.
const PARALLEL_BYTES: u64 = 256 * 1024;
/// A broken write usually has its reason on the way: the peer's abort, or the end of its stream.
const SETTLE: Duration = Duration::from_millis(250);

/// A message to be sent: the peer, the link to it, the buffers and their length together.
type Message<'a> = (usize, &'a Link, &'a [&'a [u8]], u64);

type Poll<'a> = &'a mut dyn FnMut() -> Result<(), Fault>;

/// One party's end of the connections among all parties.
pub struct Mesh {
    shared: Arc<Shared>,
    links: BTreeMap<usize, Arc<Link>>,
    sockets: Vec<TcpStream>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    pacers: Mutex<Vec<JoinHandle<()>>>,
    uplink_free: Mutex<Instant>,
    counts: Mutex<Stats>,
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mesh({} peers)", self.links.len())
    }
}

impl Mesh {
    /// Takes over the connections: on `outgoing` this party only sends, on `incoming` it only receives.
    pub fn new(
        session: SessionId,
        outgoing: Vec<(usize, Connection)>,
        incoming: Vec<(usize, Connection)>,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let heartbeat = Duration::from_secs(1).min(limits.silence / 4);
        let broken = |e: std::io::Error| {
            Fault::new(Cause::Misuse, format!("no thread for a peer: {}", e.kind()))
        };
        let channels = incoming.into_iter().map(|(p, c)| (p, c.into_channel()));
        let shared = Arc::new(Shared::new(session, channels.collect(), limits)?);
        let mut mesh = Mesh {
            shared: shared.clone(),
            links: BTreeMap::new(),
            sockets: Vec::new(),
            threads: Mutex::new(Vec::new()),
            pacers: Mutex::new(Vec::new()),
            uplink_free: Mutex::new(Instant::now()),
            counts: Mutex::new(Stats::default()),
        };
        for (peer, connection) in outgoing {
            let channel = connection.into_channel();
            mesh.sockets.push(channel.socket()?);
            let link = Arc::new(Link {
                wire_bytes: AtomicU64::new(channel.wire_bytes_sent()),
                tx: Mutex::new(Tx {
                    channel,
                    written: Instant::now(),
                }),
                queue: Mutex::new(Queue {
                    items: VecDeque::new(),
                    bytes: 0,
                    stop: false,
                }),
                wake: Condvar::new(),
                space: Condvar::new(),
            });
            mesh.links.insert(peer, link.clone());
            let shared = shared.clone();
            let pacer = std::thread::Builder::new().name(format!("tacit-pace-{peer}"));
            lock(&mesh.pacers).push(
                pacer
                    .spawn(move || link.pace(heartbeat, &shared))
                    .map_err(broken)?,
            );
        }
        for place in 0..shared.peers.len() {
            let shared = shared.clone();
            let reader = std::thread::Builder::new()
                .name(format!("tacit-read-{}", shared.peers[place].index));
            let run = move || shared.stand_by(&shared.peers[place]);
            lock(&mesh.threads).push(reader.spawn(run).map_err(broken)?);
        }
        Ok(mesh)
    }

    /// One round: `post`, then `collect`. No other step may be outstanding.
    pub fn exchange(
        &self,
        step: u64,
        sends: &[(usize, Vec<&[u8]>)],
        expects: &[(usize, u64)],
        poll: Poll<'_>,
    ) -> Result<Messages, Fault> {
        let limit = deadline(self.shared.limits.step_timeout);
        lock(&self.shared.inbox).settled()?;
        self.post_until(limit, step, sends, expects, poll)?;
        self.collect_until(limit, poll)
    }

    /// The first half of a round: announces one message from each peer of `expects`, of exactly the length given
    /// there, and sends to each peer the concatenation of its buffers. Returns when the network has taken them, for
    /// which no peer has to collect. Empty messages do not travel. Steps increase; several may be outstanding.
    pub fn post(
        &self,
        step: u64,
        sends: &[(usize, Vec<&[u8]>)],
        expects: &[(usize, u64)],
        poll: Poll<'_>,
    ) -> Result<(), Fault> {
        let limit = deadline(self.shared.limits.step_timeout);
        self.post_until(limit, step, sends, expects, poll)
    }

    /// The second half of a round: waits for the messages of the oldest step that is posted and not collected.
    pub fn collect(&self, poll: Poll<'_>) -> Result<Messages, Fault> {
        self.collect_until(deadline(self.shared.limits.step_timeout), poll)
    }

    fn post_until(
        &self,
        limit: Instant,
        step: u64,
        sends: &[(usize, Vec<&[u8]>)],
        expects: &[(usize, u64)],
        poll: Poll<'_>,
    ) -> Result<(), Fault> {
        let bytes_max = self.shared.limits.frame_bytes_max;
        let mut messages: Vec<Message<'_>> = Vec::with_capacity(sends.len());
        let mut bytes = 0;
        for (peer, buffers) in sends {
            let length = buffers.iter().map(|b| b.len() as u64).sum();
            if length > bytes_max {
                let what = format!("a message of {length} bytes cannot be sent");
                return Err(
                    Fault::new(Cause::Misuse, what).expected(format!("at most {bytes_max} bytes"))
                );
            }
            if length > 0 {
                let link = self.link(*peer)?;
                messages.push((*peer, link, buffers, length));
                bytes += length;
            }
        }
        let session = {
            let mut inbox = lock(&self.shared.inbox);
            if self.shared.closed.load(Ordering::Acquire) {
                return Err(Fault::new(Cause::Misuse, "the transport is closed"));
            }
            let session = inbox.announce(step, bytes, expects, bytes_max)?;
            self.shared.stepped(!inbox.large());
            if inbox.relieved(&self.shared.limits) {
                self.shared.changed(&mut inbox);
            }
            session
        };
        if let Err(fault) = self.send_all(session, step, &messages, bytes, limit, poll) {
            if fault.cause != Cause::Closed {
                return Err(fault);
            }
            // Prefer the reason that the peer gave, or is just giving, to the broken pipe it left.
            let settled = deadline(SETTLE).min(limit);
            return match self.wait(settled, poll, |inbox| inbox.reasons().map(|()| None::<()>)) {
                Err(reason) => Err(reason),
                Ok(_) => Err(fault),
            };
        }
        let mut counts = lock(&self.counts);
        counts.frames += messages.len() as u64;
        counts.payload_bytes_sent += bytes;
        Ok(())
    }

    fn collect_until(&self, mut limit: Instant, poll: Poll<'_>) -> Result<Messages, Fault> {
        let (arrived, counts_as_round) = loop {
            let arrived = self.wait(limit, poll, |inbox| match inbox.collect()? {
                None => inbox.reasons().map(|()| None),
                arrived => Ok(arrived),
            })?;
            if let Some(arrived) = arrived {
                break arrived;
            }
            let inbox = lock(&self.shared.inbox);
            let Some(peer) = inbox.lacking() else {
                continue;
            };
            limit = self.patience(&inbox, peer).ok_or_else(|| inbox.late())?;
        };
        let mut counts = lock(&self.counts);
        counts.rounds += u64::from(counts_as_round);
        counts.payload_bytes_received += arrived
            .iter()
            .map(|(_, payload)| payload.len() as u64)
            .sum::<u64>();
        Ok(arrived)
    }

    /// Until when to wait for a peer that is behind but comes nearer; None if that is over.
    fn patience(&self, inbox: &Inbox, peer: usize) -> Option<Instant> {
        let limit = inbox
            .nearer(peer)?
            .checked_add(self.shared.limits.step_timeout)?;
        (limit > Instant::now()).then_some(limit)
    }

    fn link(&self, peer: usize) -> Result<&Link, Fault> {
        self.links.get(&peer).map(Arc::as_ref).ok_or_else(|| {
            Fault::new(
                Cause::Misuse,
                format!("there is no party {peer} to send to"),
            )
        })
    }

    fn send_all(
        &self,
        session: SessionId,
        step: u64,
        messages: &[Message<'_>],
        bytes: u64,
        limit: Instant,
        poll: Poll<'_>,
    ) -> Result<(), Fault> {
        let send = |(peer, link, buffers, length): &Message<'_>, poll: Poll<'_>| {
            let header = Header {
                kind: Kind::Data,
                session,
                step,
                length: *length,
            };
            self.dispatch(link, header, buffers, &mut || {
                poll()?;
                let inbox = lock(&self.shared.inbox);
                if Instant::now() >= limit && self.patience(&inbox, *peer).is_none() {
                    let what = format!("it did not take the message of step {step} in time");
                    return Err(Fault::new(Cause::Timeout, what).at(*peer));
                }
                inbox.reasons()
            })
            .map_err(|fault| fault.at(*peer))
        };
        let Some((first, rest)) = messages.split_first() else {
            return Ok(());
        };
        if rest.is_empty() || bytes < PARALLEL_BYTES || self.shared.limits.network.is_some() {
            return messages.iter().try_for_each(|message| send(message, poll));
        }
        let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let (mut own, mut others) = (vec![first], Vec::new());
            for message in rest {
                let (send, stop, sent, caller) = (&send, &stop, &sent, std::thread::current());
                let writer = std::thread::Builder::new().spawn_scoped(scope, move || {
                    let mut poll = || {
                        if stop.load(Ordering::Acquire) {
                            Err(Fault::interrupted())
                        } else {
                            Ok(())
                        }
                    };
                    // The caller waits for the count below, so not even a panic may pass it by.
                    let result = contained(|| send(message, &mut poll)).and_then(|result| result);
                    // A thread that has woken the caller is not finished yet: the caller must not wait for that.
                    sent.fetch_add(1, Ordering::Release);
                    caller.unpark();
                    result
                });
                match writer {
                    Ok(writer) => others.push(writer),
                    // Where no more threads can be had, one message follows the other.
                    Err(_) => own.push(message),
                }
            }
            let mut result = own.into_iter().try_for_each(|message| send(message, poll));
            while result.is_ok() && sent.load(Ordering::Acquire) < others.len() {
                std::thread::park_timeout(SLICE);
                result = poll();
            }
            stop.store(result.is_err(), Ordering::Release);
            for thread in others {
                let other = thread
                    .join()
                    .unwrap_or_else(|_| Err(Fault::new(Cause::Misuse, "a writer panicked")));
                result = result.and(other);
            }
            result
        })
    }

    /// Writes one frame now, or hands it to the emulated network, which takes so much and no more.
    fn dispatch(
        &self,
        link: &Link,
        header: Header,
        buffers: &[&[u8]],
        poll: Poll<'_>,
    ) -> Result<(), Fault> {
        let Some(network) = self.shared.limits.network else {
            return link.write(&header, buffers, &mut |_| poll());
        };
        if header.kind == Kind::Data {
            link.wait_for_space(header.length, &self.shared.limits, poll)?;
        }
        let bytes = (HEADER_BYTES as u64 + header.length) as f64;
        let mut free = lock(&self.uplink_free);
        *free =
            Instant::now().max(*free) + Duration::from_secs_f64(bytes / network.bytes_per_second);
        let due = *free + network.latency;
        let mut queue = lock(&link.queue);
        queue.bytes += header.length;
        queue.items.push_back((due, header, buffers.concat()));
        drop((queue, free));
        link.wake.notify_one();
        Ok(())
    }

    /// Waits until `done` has something; None when the time is up.
    fn wait<T>(
        &self,
        limit: Instant,
        poll: Poll<'_>,
        mut done: impl FnMut(&mut Inbox) -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>, Fault> {
        let mut inbox = lock(&self.shared.inbox);
        let mut looked = false;
        loop {
            if let Some(result) = done(&mut inbox)? {
                return Ok(Some(result));
            }
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let timed_out;
            (inbox, timed_out) = self.shared.wait(inbox, left, &mut looked);
            if timed_out {
                drop(inbox);
                poll()?;
                inbox = lock(&self.shared.inbox);
            }
        }
    }

    /// Tells all peers that this party has finished the session, and waits until all of them have. From here on a
    /// peer that goes away takes nothing from us, so only an abort, or the caller, ends the wait with an error.
    pub fn finish(&self, poll: Poll<'_>) -> Result<(), Fault> {
        // Twice: a peer that waits for its last message must be able to give up, and say so, before we leave.
        let limit = deadline(self.shared.limits.step_timeout.saturating_mul(2));
        lock(&self.shared.inbox).settled()?;
        self.bye(poll)?;
        let all_gone = |inbox: &mut Inbox| {
            inbox.stopped()?;
            Ok(inbox.all_gone().then_some(()))
        };
        self.wait(limit, poll, all_gone).map(|_| ())
    }

    /// Ends this session towards all peers without waiting for theirs.
    pub fn bye(&self, poll: Poll<'_>) -> Result<(), Fault> {
        let inbox = lock(&self.shared.inbox);
        let header = Header {
            kind: Kind::Bye,
            session: inbox.session,
            step: inbox.step.unwrap_or(0),
            length: 0,
        };
        drop(inbox);
        self.tell(header, &[], poll)
    }

    /// Sends an abort record to all peers that can still be reached.
    pub fn send_abort(&self, step: u64, record: &[u8], poll: Poll<'_>) -> Result<(), Fault> {
        let session = {
            let mut inbox = lock(&self.shared.inbox);
            inbox.give_up();
            self.shared.changed(&mut inbox);
            inbox.session
        };
        self.tell(
            Header {
                kind: Kind::Abort,
                session,
                step,
                length: record.len() as u64,
            },
            record,
            poll,
        )
    }

    /// Best effort to all peers: only an interrupt by the caller is an error.
    fn tell(&self, header: Header, payload: &[u8], poll: Poll<'_>) -> Result<(), Fault> {
        for (&peer, link) in &self.links {
            let patience = deadline(SETTLE);
            let result = self.dispatch(link, header, &[payload], &mut || {
                poll()?;
                if Instant::now() >= patience {
                    Err(Fault::new(Cause::Timeout, "busy").at(peer))
                } else {
                    Ok(())
                }
            });
            if let Err(fault) = result
                && fault.cause == Cause::Interrupted
            {
                return Err(fault);
            }
        }
        Ok(())
    }

    /// The next abort record or loss of a peer, or None when `timeout` is over.
    pub fn next_event(&self, timeout: Duration, poll: Poll<'_>) -> Result<Option<Event>, Fault> {
        self.wait(deadline(timeout), poll, |inbox| Ok(inbox.next_event()))
    }

    /// Enters the next session on the same connections; steps count from the beginning again.
    pub fn begin(&self, session: SessionId) -> Result<(), Fault> {
        let mut inbox = lock(&self.shared.inbox);
        self.shared.changed(&mut inbox);
        inbox.begin(session)
    }

    /// Makes the exchange that another thread waits in return `Cause::Interrupted`.
    pub fn cancel(&self) {
        let mut inbox = lock(&self.shared.inbox);
        inbox.cancelled = true;
        self.shared.notify(&inbox);
    }

    /// Exact counts so far.
    pub fn stats(&self) -> Stats {
        let mut stats = *lock(&self.counts);
        stats.wire_bytes_sent = self
            .links
            .values()
            .map(|link| link.wire_bytes.load(Ordering::Relaxed))
            .sum();
        stats
    }

    /// Sends what an emulated network still holds, closes all connections and joins all threads.
    pub fn close(&self) {
        for link in self.links.values() {
            lock(&link.queue).stop = true;
            link.wake.notify_all();
        }
        for thread in lock(&self.pacers).drain(..) {
            let _ = thread.join();
        }
        if self.shared.closed.load(Ordering::Acquire) {
            return;
        }
        self.shared.close();
        for link in self.links.values() {
            lock(&link.tx).channel.close();
        }
        let incoming = self.shared.peers.iter().map(|peer| &peer.socket);
        for socket in self.sockets.iter().chain(incoming) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        for thread in lock(&self.threads).drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.close();
    }
}
