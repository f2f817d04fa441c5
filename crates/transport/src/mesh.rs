// SPDX-License-Identifier: Apache-2.0
//! The lock-step rounds of all parties of a session, over one sending and one receiving connection per peer.
//!
//! Threads: per peer one reader (decrypts, checks and files frames) and one pacer (heartbeats, and frames that an
//! emulated network delays). The caller's own thread encrypts and writes what it sends; messages to several peers
//! that are large are written by scoped threads side by side, straight from the caller's buffers.
//!
//! Nothing can deadlock: a party announces what it expects before it sends, its readers take every frame that is
//! expected now, and early frames are taken up to a bound. So of all parties the one at the earliest step can
//! always finish its step.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::channel::Channel;
use crate::connection::{Connection, deadline};
use crate::fault::{Cause, Fault};
use crate::frame::{HEADER_BYTES, Header, Kind, SessionId};
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
    /// Early frames of one peer beyond which it floods.
    pub early_frames_max: usize,
    /// Longest silence of a live peer.
    pub silence: Duration,
    /// Longest wait for the messages of one step.
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

/// ABORT frames are short and few: a record is relayed at most once for each party that is heard or lost.
const ABORT_BYTES_MAX: u64 = 64 * 1024;
const ABORTS_MAX: usize = 256;
/// Frames without payload that a peer may send at once, and per second.
const IDLE_BURST: f64 = 256.0;
const IDLE_PER_SECOND: f64 = 64.0;
/// From this size on, messages to several peers are written by several threads.
const PARALLEL_BYTES: usize = 256 * 1024;
/// A broken write usually has its reason on the way: the peer's abort, or the end of its stream.
const SETTLE: Duration = Duration::from_millis(250);
/// How many slices of `SLICE` a closing transport waits for a peer that does not read.
const CLOSE_SLICES: u32 = 20;

type Poll<'a> = &'a mut dyn FnMut() -> Result<(), Fault>;

/// What has come from one peer.
struct Mailbox {
    session: SessionId,
    ended: bool,
    draining: bool,
    last_step: Option<u64>,
    posted: Option<u64>,
    frames: VecDeque<(u64, Vec<u8>)>,
    frame_bytes: u64,
    aborts: VecDeque<(SessionId, Vec<u8>)>,
    aborts_seen: usize,
    fault: Option<Fault>,
    lost_reported: bool,
    idle_tokens: f64,
    idle_at: Instant,
}

struct Inbox {
    session: SessionId,
    step: Option<u64>,
    cancelled: bool,
    boxes: BTreeMap<usize, Mailbox>,
}

struct Shared {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    space: Condvar,
    closed: AtomicBool,
    limits: Limits,
}

/// What a reader does with a frame whose header was admitted.
enum Verdict {
    Keep,
    Drop,
}

impl Shared {
    /// Judges a header; waits while the peer is too far ahead.
    fn admit(&self, peer: usize, header: &Header) -> Result<Verdict, Fault> {
        let limits = &self.limits;
        let max = match header.kind {
            Kind::Data => limits.frame_bytes_max,
            Kind::Abort => ABORT_BYTES_MAX,
            Kind::Heartbeat | Kind::Bye => 0,
            Kind::Control => {
                return Err(Fault::new(
                    Cause::Malformed,
                    "a CONTROL frame within a session",
                ));
            }
        };
        if header.length > max {
            return Err(
                Fault::new(Cause::Flood, format!("a frame of {} bytes", header.length))
                    .expected(format!("at most {max} bytes")),
            );
        }
        let mut inbox = lock(&self.inbox);
        let ours = inbox.session;
        let Some(mailbox) = inbox.boxes.get_mut(&peer) else {
            return Err(Fault::new(Cause::Misuse, "a frame of an unknown peer"));
        };
        if header.kind == Kind::Heartbeat {
            mailbox.tick()?;
            return Ok(Verdict::Drop);
        }
        if header.session != mailbox.session {
            // A peer enters its next session only after it has ended this one, and only if we may follow it there.
            if !mailbox.ended
                || mailbox.draining
                || mailbox.session != ours
                || !mailbox.frames.is_empty()
            {
                return Err(Fault::new(Cause::Session, "a frame of another session"));
            }
            mailbox.enter(header.session);
        } else if mailbox.ended {
            return Err(Fault::new(
                Cause::Session,
                "a frame of a session that it has ended",
            ));
        }
        if mailbox.draining {
            if header.kind == Kind::Bye {
                mailbox.draining = false;
                mailbox.enter(ours);
            }
            return Ok(Verdict::Drop);
        }
        match header.kind {
            Kind::Bye => {
                mailbox.ended = true;
                self.arrived.notify_all();
                return Ok(Verdict::Drop);
            }
            Kind::Abort => {
                mailbox.aborts_seen += 1;
                if mailbox.aborts_seen > ABORTS_MAX {
                    return Err(Fault::new(Cause::Flood, "ABORT frames without end"));
                }
                return Ok(Verdict::Keep);
            }
            Kind::Data | Kind::Heartbeat | Kind::Control => {}
        }
        if mailbox.last_step.is_some_and(|last| header.step <= last) {
            return Err(Fault::new(
                Cause::Step,
                format!("a second message for step {}", header.step),
            )
            .expected("one message per step, in order"));
        }
        mailbox.last_step = Some(header.step);
        loop {
            let (now, current) = (inbox.step, inbox.session);
            let Some(mailbox) = inbox.boxes.get_mut(&peer) else {
                return Err(Fault::new(Cause::Misuse, "a frame of an unknown peer"));
            };
            if mailbox.session != header.session || mailbox.draining {
                return Ok(Verdict::Drop);
            }
            if mailbox.session == current
                && let Some(now) = now
                && header.step <= now
            {
                return mailbox
                    .due(header.step, header.length, now)
                    .map(|()| Verdict::Keep);
            }
            if header.length == 0 {
                return Err(Fault::new(
                    Cause::Length,
                    format!("an empty message for step {}", header.step),
                ));
            }
            if mailbox.frames.len() >= limits.early_frames_max {
                return Err(Fault::new(
                    Cause::Flood,
                    format!("more than {} unread messages", limits.early_frames_max),
                ));
            }
            if mailbox.frames.is_empty()
                || mailbox.frame_bytes + header.length <= limits.early_bytes_max
            {
                return Ok(Verdict::Keep);
            }
            if self.closed.load(Ordering::Acquire) {
                return Err(Fault::interrupted());
            }
            // The back-pressure: not reading fills the peer's socket, and it waits.
            inbox = self
                .space
                .wait(inbox)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn file(&self, peer: usize, header: &Header, payload: Vec<u8>) -> Result<(), Fault> {
        let mut inbox = lock(&self.inbox);
        let (now, current) = (inbox.step, inbox.session);
        let Some(mailbox) = inbox.boxes.get_mut(&peer) else {
            return Ok(());
        };
        if header.kind == Kind::Abort {
            mailbox.aborts.push_back((header.session, payload));
        } else if mailbox.session == header.session && !mailbox.draining {
            // The step may have been announced while the payload was on its way.
            if mailbox.session == current
                && let Some(now) = now
                && header.step <= now
            {
                mailbox.due(header.step, header.length, now)?;
            }
            mailbox.frame_bytes += header.length;
            mailbox.frames.push_back((header.step, payload));
        }
        self.arrived.notify_all();
        Ok(())
    }

    fn fail(&self, peer: usize, fault: Fault) {
        let mut inbox = lock(&self.inbox);
        if let Some(mailbox) = inbox.boxes.get_mut(&peer) {
            mailbox.fault.get_or_insert(fault.at(peer));
        }
        self.arrived.notify_all();
    }

    fn read_loop(&self, peer: usize, channel: &mut Channel) -> Fault {
        let silence = self.limits.silence;
        let mut poll = |idle: Duration| {
            if self.closed.load(Ordering::Acquire) {
                return Err(Fault::interrupted());
            }
            if idle > silence {
                let what = format!(
                    "silent for {} s, not even a heartbeat",
                    silence.as_secs_f64()
                );
                return Err(Fault::new(Cause::Silent, what));
            }
            Ok(())
        };
        loop {
            let step = channel.header(&mut poll).and_then(|header| {
                let verdict = self.admit(peer, &header)?;
                channel.refresh();
                let payload = channel.payload(header.length, &mut poll)?;
                match verdict {
                    Verdict::Keep => self.file(peer, &header, payload),
                    Verdict::Drop => Ok(()),
                }
            });
            if let Err(fault) = step {
                return fault;
            }
        }
    }
}

impl Mailbox {
    fn new(session: SessionId) -> Self {
        Mailbox {
            session,
            ended: false,
            draining: false,
            last_step: None,
            posted: None,
            frames: VecDeque::new(),
            frame_bytes: 0,
            aborts: VecDeque::new(),
            aborts_seen: 0,
            fault: None,
            lost_reported: false,
            idle_tokens: IDLE_BURST,
            idle_at: Instant::now(),
        }
    }

    fn enter(&mut self, session: SessionId) {
        self.session = session;
        self.ended = false;
        self.last_step = None;
        self.posted = None;
        self.frames.clear();
        self.frame_bytes = 0;
        self.aborts_seen = 0;
    }

    /// Counts a frame that carries nothing.
    fn tick(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let earned = now.duration_since(self.idle_at).as_secs_f64() * IDLE_PER_SECOND;
        self.idle_tokens = (self.idle_tokens + earned).min(IDLE_BURST) - 1.0;
        self.idle_at = now;
        if self.idle_tokens < 0.0 {
            Err(Fault::new(Cause::Flood, "heartbeats without end"))
        } else {
            Ok(())
        }
    }

    /// Whether a message for `step` of `length` bytes is the one awaited at the announced step `now`.
    fn due(&self, step: u64, length: u64, now: u64) -> Result<(), Fault> {
        match self.posted {
            Some(want) if step == now && want == length => Ok(()),
            Some(want) if step == now => Err(Fault::new(
                Cause::Length,
                format!("a message of {length} bytes for step {step}"),
            )
            .expected(format!("{want} bytes"))),
            Some(_) => Err(
                Fault::new(Cause::Step, format!("a message for step {step}"))
                    .expected(format!("a message for step {now}")),
            ),
            None => Err(
                Fault::new(Cause::Step, format!("a message for step {step}"))
                    .expected(format!("none from it at step {now}")),
            ),
        }
    }

    /// Whether the message awaited at `now` is here; an error if another one is first.
    fn ready(&self, now: u64) -> Result<bool, Fault> {
        let Some(want) = self.posted else {
            return Ok(true);
        };
        match self.frames.front() {
            None => Ok(false),
            Some((step, payload)) if *step == now => {
                self.due(now, payload.len() as u64, now).map(|()| true)
            }
            Some((step, _)) => Err(
                Fault::new(Cause::Step, format!("a message for step {step}"))
                    .expected(format!("{want} bytes for step {now} first")),
            ),
        }
    }

    /// Whether the end of its stream is no fault: it has ended our session, and went.
    fn left(&self, session: SessionId) -> bool {
        (self.ended && self.session == session) || (self.session != session && !self.draining)
    }
}

/// The sending half towards one peer.
struct Link {
    tx: Mutex<Tx>,
    queue: Mutex<Queue>,
    wake: Condvar,
    wire_bytes: AtomicU64,
}

struct Tx {
    channel: Channel,
    written: Instant,
}

struct Queue {
    items: VecDeque<(Instant, Header, Vec<u8>)>,
    stop: bool,
}

impl Link {
    fn write(
        &self,
        header: &Header,
        buffers: &[&[u8]],
        poll: &mut dyn FnMut(Duration) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut tx = lock(&self.tx);
        let result = tx.channel.write(header, buffers, poll);
        tx.written = Instant::now();
        self.wire_bytes
            .store(tx.channel.wire_bytes_sent(), Ordering::Relaxed);
        result
    }

    /// Writes delayed frames when they are due, and heartbeats when nothing else was written.
    fn pace(&self, heartbeat: Duration, shared: &Shared) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some((due, ..)) = queue.items.front() {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    if let Some((_, header, payload)) = queue.items.pop_front() {
                        drop(queue);
                        let mut patience = CLOSE_SLICES;
                        let mut poll = |_: Duration| {
                            patience -= u32::from(lock(&self.queue).stop);
                            let give_up = patience == 0 || shared.closed.load(Ordering::Acquire);
                            if give_up {
                                Err(Fault::interrupted())
                            } else {
                                Ok(())
                            }
                        };
                        // The reader of the same peer reports a broken connection.
                        let _ = self.write(&header, &[&payload], &mut poll);
                        queue = lock(&self.queue);
                    }
                    continue;
                }
                queue = self.wait(queue, left.min(heartbeat / 2));
            } else if queue.stop {
                return;
            } else {
                queue = self.wait(queue, heartbeat / 2);
            }
            // A transmitter that is busy, or has not got rid of its last bytes, needs no heartbeat.
            if !queue.stop
                && let Ok(mut tx) = self.tx.try_lock()
                && !tx.channel.stalled()
                && tx.written.elapsed() >= heartbeat
            {
                let beat = Header {
                    kind: Kind::Heartbeat,
                    session: SessionId::default(),
                    step: 0,
                    length: 0,
                };
                let _ = tx
                    .channel
                    .write(&beat, &[], &mut |_| Err(Fault::interrupted()));
                tx.written = Instant::now();
                self.wire_bytes
                    .store(tx.channel.wire_bytes_sent(), Ordering::Relaxed);
            }
        }
    }

    fn wait<'a>(
        &self,
        queue: std::sync::MutexGuard<'a, Queue>,
        time: Duration,
    ) -> std::sync::MutexGuard<'a, Queue> {
        self.wake
            .wait_timeout(queue, time)
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .0
    }
}

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
        let boxes = incoming
            .iter()
            .map(|(peer, _)| (*peer, Mailbox::new(session)))
            .collect();
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox {
                session,
                step: None,
                cancelled: false,
                boxes,
            }),
            arrived: Condvar::new(),
            space: Condvar::new(),
            closed: AtomicBool::new(false),
            limits,
        });
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
                    stop: false,
                }),
                wake: Condvar::new(),
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
        for (peer, connection) in incoming {
            let mut channel = connection.into_channel();
            channel.refresh();
            mesh.sockets.push(channel.socket()?);
            let shared = shared.clone();
            let reader = std::thread::Builder::new().name(format!("tacit-read-{peer}"));
            let run = move || {
                let ended = contained(|| shared.read_loop(peer, &mut channel));
                shared.fail(peer, ended.unwrap_or_else(|fault| fault));
            };
            lock(&mesh.threads).push(reader.spawn(run).map_err(broken)?);
        }
        Ok(mesh)
    }

    /// One round: sends to each peer the concatenation of its buffers, then returns one message from each peer
    /// of `expects`, of exactly the length given there. Empty messages do not travel.
    pub fn exchange(
        &self,
        step: u64,
        sends: &[(usize, Vec<&[u8]>)],
        expects: &[(usize, u64)],
        poll: Poll<'_>,
    ) -> Result<Vec<(usize, Vec<u8>)>, Fault> {
        let limit = deadline(self.shared.limits.step_timeout);
        let session = self.announce(step, expects)?;
        let sends: Vec<(usize, &[&[u8]], usize)> = sends
            .iter()
            .map(|(peer, buffers)| {
                (
                    *peer,
                    buffers.as_slice(),
                    buffers.iter().map(|b| b.len()).sum(),
                )
            })
            .filter(|(_, _, length)| *length > 0)
            .collect();
        for (peer, _, length) in &sends {
            if *length as u64 > self.shared.limits.frame_bytes_max {
                return Err(Fault::new(
                    Cause::Misuse,
                    format!("a message of {length} bytes cannot be sent"),
                )
                .expected(format!(
                    "at most {} bytes",
                    self.shared.limits.frame_bytes_max
                )));
            }
            if !self.links.contains_key(peer) {
                return Err(Fault::new(
                    Cause::Misuse,
                    format!("there is no party {peer} to send to"),
                ));
            }
        }
        if let Err(fault) = self.send_all(session, step, &sends, limit, poll) {
            if fault.cause != Cause::Closed {
                return Err(fault);
            }
            // Prefer the reason that the peer gave, or is just giving, to the broken pipe it left.
            let settled = deadline(SETTLE).min(limit);
            return match self.wait(settled, poll, |inbox| {
                Ok(inbox.lost(fault.peer).then_some(()))
            }) {
                Err(reason) if reason.cause != Cause::Timeout => Err(reason),
                _ => Err(fault),
            };
        }
        let arrived = self.wait(limit, poll, |inbox| inbox.collect(step))?;
        let mut counts = lock(&self.counts);
        counts.rounds += u64::from(!(sends.is_empty() && arrived.is_empty()));
        counts.frames += sends.len() as u64;
        counts.payload_bytes_sent += sends
            .iter()
            .map(|(_, _, length)| *length as u64)
            .sum::<u64>();
        counts.payload_bytes_received += arrived
            .iter()
            .map(|(_, payload)| payload.len() as u64)
            .sum::<u64>();
        drop(counts);
        self.shared.space.notify_all();
        Ok(arrived)
    }

    /// Says what this step expects, so that readers check frames before they take them.
    fn announce(&self, step: u64, expects: &[(usize, u64)]) -> Result<SessionId, Fault> {
        let mut inbox = lock(&self.shared.inbox);
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(Fault::new(Cause::Misuse, "the transport is closed"));
        }
        if inbox.step.is_some_and(|last| step <= last) {
            return Err(Fault::new(Cause::Misuse, format!("step {step} is past")));
        }
        inbox.reasons()?;
        for (peer, length) in expects {
            if *length > self.shared.limits.frame_bytes_max {
                return Err(Fault::new(
                    Cause::Misuse,
                    format!("a message of {length} bytes cannot be received"),
                )
                .expected(format!(
                    "at most {} bytes",
                    self.shared.limits.frame_bytes_max
                )));
            }
            match inbox.boxes.get_mut(peer) {
                Some(mailbox) => mailbox.posted = (*length > 0).then_some(*length),
                None => {
                    return Err(Fault::new(
                        Cause::Misuse,
                        format!("there is no party {peer} to hear from"),
                    ));
                }
            }
        }
        inbox.step = Some(step);
        let session = inbox.session;
        for (peer, mailbox) in &inbox.boxes {
            // What came early is judged now.
            if mailbox.session == session
                && let Some((early, payload)) = mailbox.frames.front()
                && *early <= step
            {
                mailbox
                    .due(*early, payload.len() as u64, step)
                    .map_err(|f| f.at(*peer))?;
            }
        }
        drop(inbox);
        self.shared.space.notify_all();
        Ok(session)
    }

    fn send_all(
        &self,
        session: SessionId,
        step: u64,
        sends: &[(usize, &[&[u8]], usize)],
        limit: Instant,
        poll: Poll<'_>,
    ) -> Result<(), Fault> {
        let send = |peer: usize,
                    buffers: &[&[u8]],
                    length: usize,
                    poll: &mut dyn FnMut() -> Result<(), Fault>| {
            let header = Header {
                kind: Kind::Data,
                session,
                step,
                length: length as u64,
            };
            self.post(peer, header, buffers, &mut || {
                poll()?;
                if Instant::now() >= limit {
                    let what = format!("it did not take the message of step {step} in time");
                    return Err(Fault::new(Cause::Timeout, what).at(peer));
                }
                lock(&self.shared.inbox).reasons()
            })
            .map_err(|fault| fault.at(peer))
        };
        let large: usize = sends.iter().map(|(_, _, length)| length).sum();
        let Some(((first, buffers, length), rest)) = sends.split_first() else {
            return Ok(());
        };
        if rest.is_empty() || large < PARALLEL_BYTES || self.shared.limits.network.is_some() {
            return sends
                .iter()
                .try_for_each(|(peer, buffers, length)| send(*peer, buffers, *length, poll));
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let others: Vec<_> = rest
                .iter()
                .map(|(peer, buffers, length)| {
                    let (send, stop, caller) = (&send, &stop, std::thread::current());
                    scope.spawn(move || {
                        let result = send(*peer, buffers, *length, &mut || {
                            if stop.load(Ordering::Acquire) {
                                Err(Fault::interrupted())
                            } else {
                                Ok(())
                            }
                        });
                        caller.unpark();
                        result
                    })
                })
                .collect();
            let mut result = send(*first, buffers, *length, poll);
            while result.is_ok() && !others.iter().all(|thread| thread.is_finished()) {
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

    /// Writes one frame now, or hands it to the emulated network.
    fn post(
        &self,
        peer: usize,
        header: Header,
        buffers: &[&[u8]],
        poll: Poll<'_>,
    ) -> Result<(), Fault> {
        let Some(link) = self.links.get(&peer) else {
            return Err(Fault::new(
                Cause::Misuse,
                format!("there is no party {peer} to send to"),
            ));
        };
        let Some(network) = self.shared.limits.network else {
            return link.write(&header, buffers, &mut |_| poll());
        };
        let bytes = (HEADER_BYTES as u64 + header.length) as f64;
        let mut free = lock(&self.uplink_free);
        *free =
            Instant::now().max(*free) + Duration::from_secs_f64(bytes / network.bytes_per_second);
        let due = *free + network.latency;
        lock(&link.queue)
            .items
            .push_back((due, header, buffers.concat()));
        drop(free);
        link.wake.notify_one();
        Ok(())
    }

    /// Waits until `done` has something, a reason to stop appears, or the time is up.
    fn wait<T>(
        &self,
        limit: Instant,
        poll: Poll<'_>,
        mut done: impl FnMut(&mut Inbox) -> Result<Option<T>, Fault>,
    ) -> Result<T, Fault> {
        let mut inbox = lock(&self.shared.inbox);
        loop {
            if let Some(result) = done(&mut inbox)? {
                return Ok(result);
            }
            inbox.reasons()?;
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(inbox.late());
            }
            let (guard, timeout) = self
                .shared
                .arrived
                .wait_timeout(inbox, left.min(SLICE))
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            inbox = guard;
            if timeout.timed_out() {
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
        self.bye(poll)?;
        self.wait(limit, poll, |inbox| {
            if let Some((&peer, _)) = inbox
                .boxes
                .iter()
                .find(|(_, b)| b.aborts.iter().any(|a| a.0 == inbox.session))
            {
                return Err(Fault::new(Cause::Aborted, "it reported an abort").at(peer));
            }
            let gone = inbox
                .boxes
                .values()
                .all(|b| b.left(inbox.session) || b.fault.is_some());
            if gone { Ok(Some(())) } else { Ok(None) }
        })
        .or_else(|fault| match fault.cause {
            Cause::Timeout => Ok(()),
            _ => Err(fault),
        })
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
        let session = lock(&self.shared.inbox).session;
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
        for &peer in self.links.keys() {
            let patience = deadline(SETTLE);
            let result = self.post(peer, header, &[payload], &mut || {
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
        let limit = deadline(timeout);
        let mut inbox = lock(&self.shared.inbox);
        loop {
            let session = inbox.session;
            for (&peer, mailbox) in &mut inbox.boxes {
                while let Some((of, record)) = mailbox.aborts.pop_front() {
                    if of == session {
                        return Ok(Some(Event::Abort(peer, record)));
                    }
                }
                if (mailbox.fault.is_some() || mailbox.left(session)) && !mailbox.lost_reported {
                    mailbox.lost_reported = true;
                    return Ok(Some(Event::Lost(peer)));
                }
            }
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let (guard, timeout) = self
                .shared
                .arrived
                .wait_timeout(inbox, left.min(SLICE))
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            inbox = guard;
            if timeout.timed_out() {
                drop(inbox);
                poll()?;
                inbox = lock(&self.shared.inbox);
            }
        }
    }

    /// Enters the next session on the same connections; steps count from the beginning again.
    pub fn begin(&self, session: SessionId) -> Result<(), Fault> {
        let mut inbox = lock(&self.shared.inbox);
        let old = inbox.session;
        if session == old {
            return Err(Fault::new(Cause::Misuse, "this session has begun already"));
        }
        inbox.session = session;
        inbox.step = None;
        inbox.cancelled = false;
        let mut result = Ok(());
        for (&peer, mailbox) in &mut inbox.boxes {
            mailbox.lost_reported = false;
            if let Some(fault) = &mailbox.fault {
                result = result.and(Err(fault.clone()));
            } else if mailbox.session == old && mailbox.ended {
                mailbox.enter(session);
            } else if mailbox.session == old {
                mailbox.draining = true;
                mailbox.posted = None;
                mailbox.frames.clear();
                mailbox.frame_bytes = 0;
            } else if mailbox.session != session {
                let fault = Fault::new(Cause::Session, "a frame of another session").at(peer);
                mailbox.fault = Some(fault.clone());
                result = result.and(Err(fault));
            }
            mailbox.aborts.retain(|(of, _)| *of == session);
        }
        drop(inbox);
        self.shared.space.notify_all();
        result
    }

    /// Makes the exchange that another thread waits in return `Cause::Interrupted`.
    pub fn cancel(&self) {
        lock(&self.shared.inbox).cancelled = true;
        self.shared.arrived.notify_all();
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
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        for link in self.links.values() {
            lock(&link.tx).channel.close();
        }
        for socket in &self.sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.shared.space.notify_all();
        self.shared.arrived.notify_all();
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

impl Inbox {
    /// A reason to stop: a peer's abort before a lost peer, because the loss may be its consequence.
    fn reasons(&self) -> Result<(), Fault> {
        if self.cancelled {
            return Err(Fault::interrupted());
        }
        for (&peer, mailbox) in &self.boxes {
            if mailbox.aborts.iter().any(|(of, _)| *of == self.session) {
                return Err(Fault::new(Cause::Aborted, "it reported an abort").at(peer));
            }
        }
        for mailbox in self.boxes.values() {
            if let Some(fault) = &mailbox.fault
                && !(fault.cause == Cause::Closed
                    && mailbox.left(self.session)
                    && mailbox.posted.is_none())
            {
                return Err(fault.clone());
            }
        }
        Ok(())
    }

    /// The messages of this step, when all are here.
    fn collect(&mut self, step: u64) -> Result<Option<Vec<(usize, Vec<u8>)>>, Fault> {
        for (&peer, mailbox) in &self.boxes {
            if mailbox.session == self.session
                && !mailbox.ready(step).map_err(|fault| fault.at(peer))?
            {
                if mailbox.ended {
                    let what = format!("it ended the session before its message of step {step}");
                    return Err(Fault::new(Cause::Step, what).at(peer));
                }
                return Ok(None);
            }
        }
        let mut out = Vec::new();
        for (&peer, mailbox) in &mut self.boxes {
            if mailbox.posted.take().is_some()
                && let Some((_, payload)) = mailbox.frames.pop_front()
            {
                mailbox.frame_bytes -= payload.len() as u64;
                out.push((peer, payload));
            }
        }
        Ok(Some(out))
    }

    fn lost(&self, peer: Option<usize>) -> bool {
        peer.and_then(|peer| self.boxes.get(&peer))
            .is_some_and(|mailbox| mailbox.fault.is_some())
    }

    /// The fault of the first peer whose message is missing.
    fn late(&self) -> Fault {
        let missing = self
            .boxes
            .iter()
            .find(|(_, mailbox)| mailbox.posted.is_some() && mailbox.frames.is_empty());
        let step = self.step.unwrap_or(0);
        let fault = Fault::new(
            Cause::Timeout,
            format!("alive, but no message for step {step} in time"),
        );
        match missing {
            Some((&peer, _)) => fault.at(peer),
            None => fault,
        }
    }
}
