// SPDX-License-Identifier: Apache-2.0
//! What can go wrong on a link, one variant per distinguishable fault.

use std::fmt;

/// The distinguishable faults; the number is the last part of the stable code `TRANSPORT-0xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// The caller's `poll` asked to stop; never reported to a peer.
    Interrupted = 0,
    /// The peer closed the connection, or its process died.
    Closed = 1,
    /// The connection stands but nothing, not even a heartbeat, came for the allowed silence.
    Silent = 2,
    /// A message has another length than the plan says.
    Length = 3,
    /// A message belongs to a step that is past, skipped or silent.
    Step = 4,
    /// A message belongs to another session.
    Session = 5,
    /// Bytes that are no frame of this version, or a kind that has no place here.
    Malformed = 6,
    /// More, or larger, than a peer may have under way.
    Flood = 7,
    /// A TLS record failed its authentication.
    Corrupted = 8,
    /// The TLS handshake was refused: certificate not pinned, other version, other key exchange.
    Refused = 9,
    /// No connection within the allowed time.
    Unreachable = 10,
    /// A peer reported an abort.
    Aborted = 11,
    /// The peer is alive but its message did not come within the allowed time.
    Timeout = 12,
    /// The caller asked for something that no peer caused: a message over the limit, a closed transport.
    Misuse = 13,
}

/// One fault: its cause, the peer it was seen at, what happened and what was expected. Lengths, steps and kinds are
/// public; payloads never appear.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which fault.
    pub cause: Cause,
    /// The peer's index, where the fault was seen at one.
    pub peer: Option<usize>,
    /// What happened.
    pub what: String,
    /// What was expected instead, or empty.
    pub expected: String,
}

impl Fault {
    /// A fault without a peer.
    pub fn new(cause: Cause, what: impl Into<String>) -> Self {
        Fault {
            cause,
            peer: None,
            what: what.into(),
            expected: String::new(),
        }
    }

    /// The same fault with what was expected instead.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    /// The same fault, seen at `peer`.
    #[must_use]
    pub fn at(mut self, peer: usize) -> Self {
        self.peer.get_or_insert(peer);
        self
    }

    /// The fault a `poll` returns to stop a wait.
    pub fn interrupted() -> Self {
        Fault::new(Cause::Interrupted, "interrupted")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.expected.is_empty() {
            write!(f, " (expected {})", self.expected)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
