// SPDX-License-Identifier: Apache-2.0
//! Who reads from the peers, and when.
//!
//! A small message would cost two wake-ups if a thread read it and woke the caller. So while rounds are small and
//! follow each other, the caller reads by itself (*direct*): it waits for all peers' sockets at once. Per peer a
//! thread stands by. It reads when the caller does not come back for some time, so that heartbeats, aborts and
//! messages are taken while the caller computes, and at once when a large step is posted, so that messages of
//! several peers are decrypted side by side and while the caller writes.
//!
//! Any thread may read at any time, under the lock of the peer's receiver. Whoever files something wakes the caller,
//! by the condition variable or, where it waits for sockets, by a byte through a socket pair.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::sched_yield;

use crate::channel::Channel;
use crate::fault::{Cause, Fault};
use crate::frame::{HEADER_BYTES, Header, SessionId};
use crate::inbox::{Inbox, Verdict};
use crate::mesh::Limits;
use crate::{SLICE, contained, lock};

/// How long the threads leave the reading to a caller that does not show up: at first, and at most where it did show up
/// whenever they looked.
const STANDBY: Duration = Duration::from_millis(2);
const STANDBY_MAX: Duration = Duration::from_millis(16);

/// How long a caller that waits for a small message stays awake.
const AWAKE: Duration = Duration::from_micros(100);

/// How long a reader stays with one peer that sends without a pause.
const READING: Duration = Duration::from_millis(50);

/// The receiving half of one peer.
pub(crate) struct Peer {
    pub(crate) index: usize,
    pub(crate) socket: TcpStream,
    receiver: Mutex<Receiver>,
    /// Whether its socket says nothing: its next message is too early to be taken, or some of it is read ahead.
    held: AtomicBool,
    /// Whether a fault ended it.
    broken: AtomicBool,
}

struct Receiver {
    channel: Channel,
    head: Vec<u8>,
    /// A header that waits for space.
    early: Option<Header>,
    /// A header that was judged, and what has come of its payload.
    frame: Option<(Header, Verdict, Vec<u8>)>,
}

/// Why a receiver stopped reading.
enum Pause {
    /// All that came is read.
    Drained,
    /// The peer is too far ahead, as of this change of the inbox.
    Full(u64),
    /// There is no end to what comes, and others have their turn.
    Busy,
}

/// What the caller's threads and the readers share.
pub(crate) struct Shared {
    pub(crate) inbox: Mutex<Inbox>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) closed: AtomicBool,
    pub(crate) limits: Limits,
    arrived: Condvar,
    space: Condvar,
    /// Whether callers read by themselves.
    direct: AtomicBool,
    /// Callers that wait for sockets, and those that wait for `arrived`.
    polling: AtomicUsize,
    parked: AtomicUsize,
    /// Counts the caller's steps, so that standby threads see whether it is there.
    steps: AtomicU64,
    standby: (Mutex<()>, Condvar),
    wake: UnixStream,
    woken: UnixStream,
}

impl Receiver {
    /// Reads, judges and files frames as far as they have come.
    fn read(&mut self, peer: usize, shared: &Shared) -> Result<Pause, Fault> {
        self.channel.readable();
        let mut began: Option<Instant> = None;
        loop {
            if let Some((header, _, payload)) = &mut self.frame {
                let length = usize::try_from(header.length).unwrap_or(usize::MAX);
                if !self.channel.fill_ready(payload, length)? {
                    return Ok(Pause::Drained);
                }
            }
            if let Some((header, verdict, payload)) = self.frame.take()
                && verdict == Verdict::Keep
            {
                let mut inbox = lock(&shared.inbox);
                if inbox.file(peer, &header, payload)? {
                    shared.notify(&inbox);
                }
            }
            // A caller that reads by itself has a time to keep.
            match began {
                None => began = Some(Instant::now()),
                Some(began) if began.elapsed() > READING => return Ok(Pause::Busy),
                Some(_) => {}
            }
            let retried = self.early.take();
            let header = match retried {
                Some(header) => header,
                None if self.channel.fill_ready(&mut self.head, HEADER_BYTES)? => {
                    let header = Header::decode(&self.head)?;
                    self.head.clear();
                    header
                }
                None => return Ok(Pause::Drained),
            };
            let mut inbox = lock(&shared.inbox);
            let verdict = if retried.is_some() {
                // The silence until now was ours.
                self.channel.refresh();
                inbox.place(peer, &header, &shared.limits)?
            } else {
                inbox.admit(peer, &header, &shared.limits)?
            };
            match verdict {
                Verdict::Wait => {
                    self.early = Some(header);
                    return Ok(Pause::Full(inbox.changes));
                }
                Verdict::Ended => shared.notify(&inbox),
                Verdict::Keep | Verdict::Drop => {}
            }
            drop(inbox);
            let too_large = |_| Fault::new(Cause::Flood, "a message larger than memory");
            let mut payload = Vec::new();
            payload
                .try_reserve_exact(usize::try_from(header.length).unwrap_or(usize::MAX))
                .map_err(too_large)?;
            self.frame = Some((header, verdict, payload));
        }
    }
}

impl Shared {
    /// Nothing heard yet of the peers whose channels these are. Raises `Misuse` without sockets to spare.
    pub(crate) fn new(
        session: SessionId,
        channels: Vec<(usize, Channel)>,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let broken = |e: std::io::Error| {
            Fault::new(Cause::Misuse, format!("no socket to wake by: {}", e.kind()))
        };
        let (wake, woken) = UnixStream::pair().map_err(broken)?;
        wake.set_nonblocking(true).map_err(broken)?;
        woken.set_nonblocking(true).map_err(broken)?;
        let indices: Vec<usize> = channels.iter().map(|(index, _)| *index).collect();
        let peers = channels.into_iter().map(|(index, mut channel)| {
            channel.refresh();
            Ok(Peer {
                index,
                socket: channel.socket()?,
                receiver: Mutex::new(Receiver {
                    channel,
                    head: Vec::with_capacity(HEADER_BYTES),
                    early: None,
                    frame: None,
                }),
                held: AtomicBool::new(false),
                broken: AtomicBool::new(false),
            })
        });
        Ok(Shared {
            inbox: Mutex::new(Inbox::new(session, indices.into_iter())),
            peers: peers.collect::<Result<_, Fault>>()?,
            closed: AtomicBool::new(false),
            limits,
            arrived: Condvar::new(),
            space: Condvar::new(),
            direct: AtomicBool::new(false),
            polling: AtomicUsize::new(0),
            parked: AtomicUsize::new(0),
            steps: AtomicU64::new(0),
            standby: (Mutex::new(()), Condvar::new()),
            wake,
            woken,
        })
    }

    /// Wakes the callers that wait; the guard proves that none of them is about to.
    pub(crate) fn notify(&self, _: &MutexGuard<'_, Inbox>) {
        if self.parked.load(Ordering::Acquire) > 0 {
            self.arrived.notify_all();
        }
        if self.polling.load(Ordering::Acquire) > 0 {
            // A full pair wakes as well.
            let _ = (&self.wake).write(&[0]);
        }
    }

    /// Tells readers that wait for space that what they wait for may have changed.
    pub(crate) fn changed(&self, inbox: &mut MutexGuard<'_, Inbox>) {
        inbox.changes += 1;
        if self
            .peers
            .iter()
            .any(|peer| peer.held.load(Ordering::Acquire))
        {
            self.space.notify_all();
        }
    }

    /// The caller has come to a step, and wants to read by itself or leave it to the threads.
    pub(crate) fn stepped(&self, direct: bool) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if self.direct.swap(direct, Ordering::AcqRel) && !direct {
            let (mutex, condition) = &self.standby;
            let guard = lock(mutex);
            condition.notify_all();
            drop(guard);
        }
    }

    /// Waits until something may have arrived, at most `time` and one slice; whether the time was over.
    ///
    /// Who has not `looked` yet first reads from the peer whose message is missing, which often is there already.
    pub(crate) fn wait<'a>(
        &'a self,
        inbox: MutexGuard<'a, Inbox>,
        time: Duration,
        looked: &mut bool,
    ) -> (MutexGuard<'a, Inbox>, bool) {
        let time = time.min(SLICE);
        if self.direct.load(Ordering::Acquire) {
            if !std::mem::replace(looked, true)
                && let Some(lacking) = inbox.lacking()
                && let Some(peer) = self.peers.iter().find(|peer| peer.index == lacking)
            {
                drop(inbox);
                self.read(peer);
                return (lock(&self.inbox), false);
            }
            self.polling.fetch_add(1, Ordering::AcqRel);
            drop(inbox);
            let timed_out = self.read_directly(time);
            (lock(&self.inbox), timed_out)
        } else {
            self.parked.fetch_add(1, Ordering::AcqRel);
            let (inbox, timeout) = self
                .arrived
                .wait_timeout(inbox, time)
                .unwrap_or_else(PoisonError::into_inner);
            self.parked.fetch_sub(1, Ordering::AcqRel);
            (inbox, timeout.timed_out())
        }
    }

    /// Waits for the peers' sockets and reads what came; whether nothing did, or no end of it, or a signal.
    fn read_directly(&self, time: Duration) -> bool {
        let held = self
            .peers
            .iter()
            .filter(|peer| peer.held.load(Ordering::Acquire));
        let (mut progress, mut busy) = (false, false);
        for peer in held {
            match self.read(peer) {
                Pause::Full(_) => {}
                Pause::Drained => progress = true,
                Pause::Busy => busy = true,
            }
        }
        if progress || busy {
            self.polling.fetch_sub(1, Ordering::AcqRel);
            return busy;
        }
        let readable = |peer: &&Peer| {
            !peer.broken.load(Ordering::Acquire) && !peer.held.load(Ordering::Acquire)
        };
        let mut sockets: Vec<PollFd<'_>> = Vec::with_capacity(self.peers.len() + 1);
        sockets.push(PollFd::new(&self.woken, PollFlags::IN));
        let open: Vec<&Peer> = self.peers.iter().filter(readable).collect();
        sockets.extend(open.iter().map(|p| PollFd::new(&p.socket, PollFlags::IN)));
        let ready = watched(&mut sockets, time);
        self.polling.fetch_sub(1, Ordering::AcqRel);
        if !ready.is_ok_and(|count| count > 0) {
            return true;
        }
        if !sockets[0].revents().is_empty() {
            let _ = (&self.woken).read(&mut [0; 64]);
        }
        for (peer, socket) in open.iter().zip(&sockets[1..]) {
            if !socket.revents().is_empty() {
                self.read(peer);
            }
        }
        false
    }

    /// Reads what has come from one peer, for a limited time.
    fn read(&self, peer: &Peer) -> Pause {
        let mut receiver = lock(&peer.receiver);
        if peer.broken.load(Ordering::Acquire) {
            return Pause::Drained;
        }
        let result = contained(|| receiver.read(peer.index, self)).and_then(|result| result);
        peer.held.store(
            matches!(result, Ok(Pause::Full(_) | Pause::Busy)),
            Ordering::Release,
        );
        let silence = self.limits.silence;
        match result {
            Ok(Pause::Drained) if receiver.channel.idle() > silence => {
                let what = format!(
                    "silent for {} s, not even a heartbeat",
                    silence.as_secs_f64()
                );
                self.fail(peer, Fault::new(Cause::Silent, what));
            }
            Ok(pause) => return pause,
            Err(fault) => self.fail(peer, fault),
        }
        Pause::Drained
    }

    /// Files the fault that ends a peer's receiver.
    fn fail(&self, peer: &Peer, fault: Fault) {
        peer.broken.store(true, Ordering::Release);
        let mut inbox = lock(&self.inbox);
        inbox.fail(peer.index, fault);
        self.notify(&inbox);
    }

    /// The thread that stands by for one peer, until a fault or `close`.
    pub(crate) fn stand_by(&self, peer: &Peer) {
        let mut patience = STANDBY;
        while !self.closed.load(Ordering::Acquire) && !peer.broken.load(Ordering::Acquire) {
            let pause = self.read(peer);
            if let Pause::Full(change) = pause {
                // The back-pressure: not reading fills the peer's socket, and it waits.
                let mut inbox = lock(&self.inbox);
                while inbox.changes == change && !self.closed.load(Ordering::Acquire) {
                    inbox = self
                        .space
                        .wait(inbox)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                continue;
            }
            if matches!(pause, Pause::Drained) && !self.direct.load(Ordering::Acquire) {
                let mut socket = [PollFd::new(&peer.socket, PollFlags::IN)];
                let _ = poll(&mut socket, Some(&timespec(SLICE)));
            }
            if self.direct.load(Ordering::Acquire) {
                let shows_up = self.rest(patience);
                patience = if shows_up {
                    STANDBY_MAX.min(2 * patience)
                } else {
                    STANDBY
                };
            }
        }
    }

    /// Leaves the reading to the caller for some time, and takes it back if it did not show up; whether it did.
    fn rest(&self, patience: Duration) -> bool {
        let seen = self.steps.load(Ordering::Relaxed);
        let (mutex, condition) = &self.standby;
        let guard = lock(mutex);
        if self.direct.load(Ordering::Acquire) && !self.closed.load(Ordering::Acquire) {
            let _ = condition.wait_timeout(guard, patience);
        }
        let absent = self.polling.load(Ordering::Acquire) == 0;
        if absent && self.steps.load(Ordering::Relaxed) == seen {
            self.direct.store(false, Ordering::Release);
        }
        self.direct.load(Ordering::Acquire)
    }

    /// Ends all waits for good.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let mut inbox = lock(&self.inbox);
        inbox.changes += 1;
        self.space.notify_all();
        self.notify(&inbox);
        drop(inbox);
        self.stepped(false);
    }
}

/// Waits for sockets: at first awake, as a message of a round is often only microseconds away, and waking a processor
/// that has gone to sleep takes longer than that. Whoever else wants this processor gets it.
fn watched(sockets: &mut [PollFd<'_>], time: Duration) -> rustix::io::Result<usize> {
    let began = Instant::now();
    while began.elapsed() < AWAKE {
        let ready = poll(sockets, Some(&timespec(Duration::ZERO)));
        if ready != Ok(0) {
            return ready;
        }
        sched_yield();
    }
    poll(sockets, Some(&timespec(time)))
}

fn timespec(time: Duration) -> Timespec {
    Timespec::try_from(time).unwrap_or_default()
}
