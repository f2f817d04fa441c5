// SPDX-License-Identifier: Apache-2.0
//! What has come from the peers, and the judgement on every frame before its payload is read.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::fault::{Cause, Fault};
use crate::frame::{Header, Kind, SessionId};
use crate::mesh::{Event, Limits};

/// ABORT frames are short and few: a record is relayed at most once for each party that is heard or lost.
const ABORT_BYTES_MAX: u64 = 64 * 1024;
const ABORTS_MAX: usize = 256;
/// Frames without payload that a peer may send at once, and per second.
const IDLE_BURST: f64 = 256.0;
const IDLE_PER_SECOND: f64 = 64.0;

/// Up to this many bytes of all peers together a step is small: decrypting them takes less than waking a thread.
const SMALL_BYTES: u64 = 64 * 1024;

/// One message of each peer.
pub(crate) type Messages = Vec<(usize, Vec<u8>)>;

/// What has come from one peer.
struct Mailbox {
    session: SessionId,
    ended: bool,
    draining: bool,
    last_step: Option<u64>,
    /// The step that the peer's heartbeats say it is at, and when that last grew.
    at: u64,
    nearer: Option<Instant>,
    /// What is announced and not collected, as (step, length): the message at the same place in `frames` is the
    /// one, and every further message is early.
    awaited: VecDeque<(u64, u64)>,
    frames: VecDeque<(u64, Vec<u8>)>,
    early_bytes: u64,
    /// The length of a message that waits for space.
    waits: Option<u64>,
    aborts: VecDeque<(SessionId, Vec<u8>)>,
    aborts_seen: usize,
    fault: Option<Fault>,
    lost_reported: bool,
    idle_tokens: f64,
    idle_at: Instant,
}

pub(crate) struct Inbox {
    pub(crate) session: SessionId,
    /// The last announced step.
    pub(crate) step: Option<u64>,
    pub(crate) cancelled: bool,
    /// Counts what may make space for early messages.
    pub(crate) changes: u64,
    aborting: bool,
    /// The announced steps that are not collected yet.
    outstanding: VecDeque<Step>,
    boxes: BTreeMap<usize, Mailbox>,
}

/// An announced step.
struct Step {
    number: u64,
    /// Whether this party sends or expects anything in it.
    counts: bool,
    /// Whether its messages are large.
    large: bool,
    /// The peers of whom an empty message is expected, which does not travel.
    empty: Vec<usize>,
}

/// What happens to a frame whose header was judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is filed.
    Keep,
    /// It is read and forgotten.
    Drop,
    /// As `Drop`; the peer has ended its session.
    Ended,
    /// It is too early: nothing of it is read until something changes.
    Wait,
}

impl Mailbox {
    fn new(session: SessionId) -> Self {
        Mailbox {
            session,
            ended: false,
            draining: false,
            last_step: None,
            at: 0,
            nearer: None,
            awaited: VecDeque::new(),
            frames: VecDeque::new(),
            early_bytes: 0,
            waits: None,
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
        self.at = 0;
        self.nearer = None;
        self.aborts_seen = 0;
        self.forget();
    }

    /// Drops what has come.
    fn forget(&mut self) {
        self.frames.clear();
        self.early_bytes = 0;
    }

    /// Whether an awaited message has not come.
    fn missing(&self) -> bool {
        self.frames.len() < self.awaited.len()
    }

    /// Whether a message is awaited at `step`, the oldest one.
    fn awaits(&self, step: u64) -> bool {
        self.awaited.front().is_some_and(|(of, _)| *of == step)
    }

    /// Whether that message has not come.
    fn lacks(&self, step: u64) -> bool {
        self.frames.is_empty() && self.awaits(step)
    }

    /// Whether a message of this session is here that is not announced.
    fn early(&self, session: SessionId) -> bool {
        self.session == session && self.frames.len() > self.awaited.len()
    }

    /// Judges the first early message, which may belong to the newly announced `step`.
    fn announced(&mut self, step: u64) -> Result<(), Fault> {
        let new = self.awaited.back().is_some_and(|(last, _)| *last == step);
        let place = self.awaited.len() - usize::from(new);
        if let Some((early, payload)) = self.frames.get(place) {
            let length = payload.len() as u64;
            if self.due(place, *early, length, Some(step))? {
                self.early_bytes -= length;
            }
        }
        Ok(())
    }

    /// Whether an early message of `length` bytes may be taken. One that has `waited` is only when at most half of
    /// what may be there is, so that whoever waits finds space for many.
    fn has_space(&self, length: u64, waited: bool, limits: &Limits) -> bool {
        let early = self.frames.len().saturating_sub(self.awaited.len());
        early == 0
            || (early < limits.early_frames_max >> u32::from(waited)
                && self.early_bytes + length <= limits.early_bytes_max >> u32::from(waited))
    }

    fn early_end(&self) -> &'static str {
        "it ended the session before its message"
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

    /// Judges the message at `place` of the queue, for `step` and of `length` bytes, where `now` is the last
    /// announced step: true if it is awaited, false if it is early.
    fn due(&self, place: usize, step: u64, length: u64, now: Option<u64>) -> Result<bool, Fault> {
        let stray = || Fault::new(Cause::Step, format!("a message for step {step}"));
        match (self.awaited.get(place), now) {
            (Some(&(want, bytes)), _) if step == want && length == bytes => Ok(true),
            (Some(&(want, bytes)), _) if step == want => Err(Fault::new(
                Cause::Length,
                format!("a message of {length} bytes for step {step}"),
            )
            .expected(format!("{bytes} bytes"))),
            (Some((want, _)), _) => Err(stray().expected(format!("a message for step {want}"))),
            (None, Some(now)) if step <= now => {
                Err(stray().expected(format!("none from it at step {step}")))
            }
            (None, _) => Ok(false),
        }
    }

    /// Whether the end of its stream is no fault: it has ended our session, and went.
    fn left(&self, session: SessionId) -> bool {
        (self.ended && self.session == session) || (self.session != session && !self.draining)
    }
}

impl Inbox {
    /// Nothing heard yet of these peers.
    pub(crate) fn new(session: SessionId, peers: impl Iterator<Item = usize>) -> Self {
        Inbox {
            session,
            step: None,
            cancelled: false,
            changes: 0,
            aborting: false,
            outstanding: VecDeque::new(),
            boxes: peers.map(|peer| (peer, Mailbox::new(session))).collect(),
        }
    }

    /// Judges a header, and notes it.
    pub(crate) fn admit(
        &mut self,
        peer: usize,
        header: &Header,
        limits: &Limits,
    ) -> Result<Verdict, Fault> {
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
        let (ours, aborting, now) = (self.session, self.aborting, self.step.unwrap_or(0));
        let Some(mailbox) = self.boxes.get_mut(&peer) else {
            return Err(Fault::new(Cause::Misuse, "a frame of an unknown peer"));
        };
        if header.kind == Kind::Heartbeat {
            mailbox.tick()?;
            // A peer that says it is ahead comes no nearer: it cannot keep us waiting by that.
            if header.session == ours
                && mailbox.session == ours
                && header.step > mailbox.at
                && header.step <= now
            {
                mailbox.at = header.step;
                mailbox.nearer = Some(Instant::now());
            }
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
                if mailbox.missing() && !aborting {
                    return Err(Fault::new(Cause::Step, mailbox.early_end()));
                }
                return Ok(Verdict::Ended);
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
        self.place(peer, header, limits)
    }

    /// Judges the header of a message by what is announced now.
    pub(crate) fn place(
        &mut self,
        peer: usize,
        header: &Header,
        limits: &Limits,
    ) -> Result<Verdict, Fault> {
        let (now, current, aborting) = (self.step, self.session, self.aborting);
        let Some(mailbox) = self.boxes.get_mut(&peer) else {
            return Err(Fault::new(Cause::Misuse, "a frame of an unknown peer"));
        };
        let waited = mailbox.waits.take().is_some();
        if mailbox.session != header.session || mailbox.draining || aborting {
            return Ok(Verdict::Drop);
        }
        let place = mailbox.frames.len();
        if mailbox.session == current && mailbox.due(place, header.step, header.length, now)? {
            return Ok(Verdict::Keep);
        }
        if header.length == 0 {
            return Err(Fault::new(
                Cause::Length,
                format!("an empty message for step {}", header.step),
            ));
        }
        if mailbox.has_space(header.length, waited, limits) {
            return Ok(Verdict::Keep);
        }
        mailbox.waits = Some(header.length);
        Ok(Verdict::Wait)
    }

    /// Whether there is space for a message that waited.
    pub(crate) fn relieved(&self, limits: &Limits) -> bool {
        let mut waiting = self.boxes.values().filter_map(|m| m.waits.map(|n| (m, n)));
        waiting.any(|(mailbox, length)| mailbox.has_space(length, true, limits))
    }

    /// Files a frame; whether someone may wait for it.
    pub(crate) fn file(
        &mut self,
        peer: usize,
        header: &Header,
        payload: Vec<u8>,
    ) -> Result<bool, Fault> {
        let (now, current, aborting) = (self.step, self.session, self.aborting);
        let Some(mailbox) = self.boxes.get_mut(&peer) else {
            return Ok(false);
        };
        if header.kind == Kind::Abort {
            mailbox.aborts.push_back((header.session, payload));
            return Ok(true);
        }
        if mailbox.session == header.session && !mailbox.draining && !aborting {
            // The step may have been announced while the payload was on its way.
            let place = mailbox.frames.len();
            let due = mailbox.session == current
                && mailbox.due(place, header.step, header.length, now)?;
            mailbox.early_bytes += if due { 0 } else { header.length };
            mailbox.frames.push_back((header.step, payload));
            // Nobody waits for one that comes after others.
            return Ok(place == 0);
        }
        Ok(false)
    }

    /// Files the fault that ended the receiver of a peer.
    pub(crate) fn fail(&mut self, peer: usize, fault: Fault) {
        if let Some(mailbox) = self.boxes.get_mut(&peer) {
            mailbox.fault.get_or_insert(fault.at(peer));
        }
    }

    /// Says what this step expects, so that readers check frames before they take them; judges what came early.
    pub(crate) fn announce(
        &mut self,
        step: u64,
        sends: u64,
        expects: &[(usize, u64)],
        bytes_max: u64,
    ) -> Result<SessionId, Fault> {
        if self.step.is_some_and(|last| step <= last) {
            return Err(Fault::new(Cause::Misuse, format!("step {step} is past")));
        }
        self.reasons()?;
        let session = self.session;
        for (peer, length) in expects {
            if *length > bytes_max {
                let what = format!("a message of {length} bytes cannot be received");
                return Err(
                    Fault::new(Cause::Misuse, what).expected(format!("at most {bytes_max} bytes"))
                );
            }
            let Some(mailbox) = self.boxes.get(peer) else {
                let what = format!("there is no party {peer} to hear from");
                return Err(Fault::new(Cause::Misuse, what));
            };
            if *length > 0 && mailbox.left(session) && !mailbox.early(session) {
                return Err(Fault::new(Cause::Step, mailbox.early_end()).at(*peer));
            }
        }
        self.step = Some(step);
        let mut announced = Step {
            number: step,
            counts: sends > 0,
            large: sends + expects.iter().map(|(_, length)| length).sum::<u64>() > SMALL_BYTES,
            empty: Vec::new(),
        };
        for &(peer, length) in expects {
            if length == 0 {
                announced.empty.push(peer);
            } else if let Some(mailbox) = self.boxes.get_mut(&peer) {
                mailbox.awaited.push_back((step, length));
                announced.counts = true;
            }
        }
        self.outstanding.push_back(announced);
        for (&peer, mailbox) in &mut self.boxes {
            if mailbox.session == session {
                mailbox.announced(step).map_err(|f| f.at(peer))?;
            }
        }
        Ok(session)
    }

    /// The caller's or a peer's wish to stop.
    pub(crate) fn stopped(&self) -> Result<(), Fault> {
        if self.cancelled {
            return Err(Fault::interrupted());
        }
        for (&peer, mailbox) in &self.boxes {
            if mailbox.aborts.iter().any(|(of, _)| *of == self.session) {
                return Err(Fault::new(Cause::Aborted, "it reported an abort").at(peer));
            }
        }
        Ok(())
    }

    /// A reason to stop: a peer's abort before a lost peer, because the loss may be its consequence.
    pub(crate) fn reasons(&self) -> Result<(), Fault> {
        self.stopped()?;
        for mailbox in self.boxes.values() {
            if let Some(fault) = &mailbox.fault
                && !(fault.cause == Cause::Closed
                    && mailbox.left(self.session)
                    && !mailbox.missing())
            {
                return Err(fault.clone());
            }
        }
        Ok(())
    }

    /// Whether some outstanding step has large messages.
    pub(crate) fn large(&self) -> bool {
        self.outstanding.iter().any(|step| step.large)
    }

    /// The messages of the oldest step that is not collected, when all are here, and whether it counts as a round.
    pub(crate) fn collect(&mut self) -> Result<Option<(Messages, bool)>, Fault> {
        let Some(oldest) = self.outstanding.front() else {
            return Err(Fault::new(Cause::Misuse, "no step is posted"));
        };
        let step = oldest.number;
        if self.boxes.values().any(|mailbox| mailbox.lacks(step)) {
            return Ok(None);
        }
        let Some(oldest) = self.outstanding.pop_front() else {
            return Ok(None);
        };
        let mut out: Messages = Vec::with_capacity(self.boxes.len());
        out.extend(oldest.empty.iter().map(|&peer| (peer, Vec::new())));
        for (&peer, mailbox) in &mut self.boxes {
            if mailbox.awaits(step)
                && let Some((_, payload)) = mailbox.frames.pop_front()
            {
                mailbox.awaited.pop_front();
                out.push((peer, payload));
            }
        }
        Ok(Some((out, oldest.counts)))
    }

    /// The first peer whose message for the oldest step is missing.
    pub(crate) fn lacking(&self) -> Option<usize> {
        let step = self.outstanding.front()?.number;
        let mut boxes = self.boxes.iter();
        boxes.find_map(|(&peer, mailbox)| mailbox.lacks(step).then_some(peer))
    }

    /// A frame that says that we are alive, and how far.
    pub(crate) fn heartbeat(&self) -> Header {
        Header {
            kind: Kind::Heartbeat,
            session: self.session,
            step: self.step.unwrap_or(0),
            length: 0,
        }
    }

    /// When a peer that is behind was last heard to have come nearer.
    pub(crate) fn nearer(&self, peer: usize) -> Option<Instant> {
        self.boxes.get(&peer)?.nearer
    }

    /// The fault of that peer.
    pub(crate) fn late(&self) -> Fault {
        let step = self.outstanding.front().map_or(0, |step| step.number);
        let what = format!("alive, but no message for step {step} in time");
        let fault = Fault::new(Cause::Timeout, what);
        match self.lacking() {
            Some(peer) => fault.at(peer),
            None => fault,
        }
    }

    /// Whether all that was posted is collected.
    pub(crate) fn settled(&self) -> Result<(), Fault> {
        match self.outstanding.front() {
            None => Ok(()),
            Some(Step { number, .. }) => Err(Fault::new(
                Cause::Misuse,
                format!("step {number} is posted and not collected"),
            )),
        }
    }

    /// Whether every peer has finished this session, or cannot be heard any more.
    pub(crate) fn all_gone(&self) -> bool {
        self.boxes
            .values()
            .all(|mailbox| mailbox.left(self.session) || mailbox.fault.is_some())
    }

    /// Takes no more messages of this session, so that no abort record waits behind one.
    pub(crate) fn give_up(&mut self) {
        self.aborting = true;
        self.outstanding.clear();
        for mailbox in self.boxes.values_mut() {
            mailbox.awaited.clear();
            if mailbox.session == self.session {
                mailbox.forget();
            }
        }
    }

    /// The next abort record, or loss of a peer; each once.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let session = self.session;
        for (&peer, mailbox) in &mut self.boxes {
            while let Some((of, record)) = mailbox.aborts.pop_front() {
                if of == session {
                    return Some(Event::Abort(peer, record));
                }
            }
            if (mailbox.fault.is_some() || mailbox.left(session)) && !mailbox.lost_reported {
                mailbox.lost_reported = true;
                return Some(Event::Lost(peer));
            }
        }
        None
    }

    /// Enters the next session: what peers have sent for it already is kept, what they still send for the old one
    /// is dropped until they end it.
    pub(crate) fn begin(&mut self, session: SessionId) -> Result<(), Fault> {
        let old = self.session;
        if session == old {
            return Err(Fault::new(Cause::Misuse, "this session has begun already"));
        }
        self.session = session;
        self.step = None;
        self.cancelled = false;
        self.aborting = false;
        self.outstanding.clear();
        let mut result = Ok(());
        for (&peer, mailbox) in &mut self.boxes {
            mailbox.lost_reported = false;
            mailbox.awaited.clear();
            mailbox.aborts.retain(|(of, _)| *of == session);
            if mailbox.session == old && mailbox.ended {
                mailbox.enter(session);
            } else if mailbox.session == old {
                mailbox.draining = true;
                mailbox.forget();
            } else if mailbox.session != session {
                let fault = Fault::new(Cause::Session, "a frame of another session").at(peer);
                mailbox.fault.get_or_insert(fault);
            }
            if let Some(fault) = &mailbox.fault {
                result = result.and(Err(fault.clone()));
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: Limits = Limits {
        frame_bytes_max: 1 << 20,
        early_bytes_max: 100,
        early_frames_max: 8,
        silence: Duration::from_secs(1),
        step_timeout: Duration::from_secs(1),
        network: None,
    };
    const SESSION: SessionId = [1; 16];

    fn header(step: u64, length: u64) -> Header {
        Header {
            kind: Kind::Data,
            session: SESSION,
            step,
            length,
        }
    }

    /// Takes messages for the steps from 0 on until one has to wait; the step of that one.
    fn fill(inbox: &mut Inbox, length: u64) -> u64 {
        for step in 0.. {
            let header = header(step, length);
            if inbox.admit(0, &header, &LIMITS).unwrap() == Verdict::Wait {
                return step;
            }
            inbox.file(0, &header, vec![0; length as usize]).unwrap();
        }
        unreachable!()
    }

    #[test]
    fn a_peer_that_is_ahead_waits_at_the_bound_and_goes_on_below_half_of_it() {
        for (length, most, few) in [(1, 8, 3), (30, 3, 0), (101, 1, 0)] {
            let mut inbox = Inbox::new(SESSION, [0].into_iter());
            let waits = fill(&mut inbox, length);
            assert_eq!(waits, most, "{length}");

            for step in 0..waits {
                let space = waits - step <= few;
                assert_eq!(inbox.relieved(&LIMITS), space, "{length}");
                if !space {
                    let verdict = inbox.place(0, &header(waits, length), &LIMITS);
                    assert!(verdict.unwrap() == Verdict::Wait);
                }
                inbox.announce(step, 0, &[(0, length)], 1 << 20).unwrap();
            }
            assert!(inbox.relieved(&LIMITS));
            let verdict = inbox.place(0, &header(waits, length), &LIMITS);
            assert!(verdict.unwrap() == Verdict::Keep);
            assert!(!inbox.relieved(&LIMITS));
        }
    }

    #[test]
    fn only_a_peer_that_is_behind_comes_nearer_and_only_by_steps_of_this_session() {
        let mut inbox = Inbox::new(SESSION, [0].into_iter());
        inbox.announce(5, 0, &[(0, 1)], 1 << 20).unwrap();
        for (session, step, counts) in [
            (SESSION, 0, false),
            (SESSION, 6, false),
            ([2; 16], 3, false),
            (SESSION, 3, true),
            (SESSION, 3, false),
            (SESSION, 2, false),
            (SESSION, 5, true),
            (SESSION, u64::MAX, false),
        ] {
            let before = inbox.nearer(0);
            let beat = Header {
                kind: Kind::Heartbeat,
                session,
                ..header(step, 0)
            };
            assert!(inbox.admit(0, &beat, &LIMITS).unwrap() == Verdict::Drop);
            assert_eq!(inbox.nearer(0) != before, counts, "step {step}");
        }
    }
}
