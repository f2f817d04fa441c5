// SPDX-License-Identifier: Apache-2.0
//! Authenticated, bounded, framed messages between the parties of a run.
//!
//! From the bottom up: `frame` (40 header bytes), `tls` (TLS 1.3 with pinned certificates), `channel` (TLS over one
//! socket), `connection` and `listener` (one request, one answer), `mesh` (the lock-step rounds of all parties).
//! Every function that waits does so in slices of [`SLICE`] and calls the `poll` it was given between them, so a
//! caller can interrupt it; every failure is a [`Fault`].
#![forbid(unsafe_code)]

use std::time::Duration;

mod channel;
mod connection;
mod fault;
mod frame;
mod inbox;
mod link;
mod listener;
mod mesh;
mod receiver;
mod tls;

pub use channel::TlsFacts;
pub use connection::{Connection, connect};
pub use fault::{Cause, Fault};
pub use frame::{HEADER_BYTES, Header, Kind, SessionId};
pub use listener::Listener;
pub use mesh::{Event, Limits, Mesh, Network, Stats};
pub use tls::{Identity, Pin, pin_of};

/// The longest wait between two calls of a `poll`.
pub const SLICE: Duration = Duration::from_millis(50);

/// Locks a mutex; a thread that panicked while holding it left plain data that is still consistent enough to close.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs what handles a peer's bytes in a thread of its own: a panic below, in a dependency, becomes a fault of that
/// peer instead of a thread that is silently gone.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T, Fault> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .map_err(|_| Fault::new(Cause::Malformed, "bytes that TLS cannot process"))
}
