// SPDX-License-Identifier: Apache-2.0
//! The sending half towards one peer, with the thread that keeps its pace.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::channel::{Channel, Poll};
use crate::fault::Fault;
use crate::frame::Header;
use crate::mesh::Limits;
use crate::receiver::Shared;
use crate::{SLICE, lock};

/// How many slices of `SLICE` a closing transport waits for a peer that does not read.
const CLOSE_SLICES: u32 = 20;

/// The sending half towards one peer.
pub(crate) struct Link {
    pub(crate) tx: Mutex<Tx>,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) wake: Condvar,
    /// Told when the queue gets shorter.
    pub(crate) space: Condvar,
    pub(crate) wire_bytes: AtomicU64,
}

pub(crate) struct Tx {
    pub(crate) channel: Channel,
    pub(crate) written: Instant,
}

pub(crate) struct Queue {
    pub(crate) items: VecDeque<(Instant, Header, Vec<u8>)>,
    /// Payloads together.
    pub(crate) bytes: u64,
    pub(crate) stop: bool,
}

impl Link {
    /// Writes one frame in this thread.
    pub(crate) fn write(
        &self,
        header: &Header,
        buffers: &[&[u8]],
        poll: Poll<'_>,
    ) -> Result<(), Fault> {
        let mut tx = lock(&self.tx);
        let result = tx.channel.write(header, buffers, poll);
        tx.written = Instant::now();
        self.wire_bytes
            .store(tx.channel.wire_bytes_sent(), Ordering::Relaxed);
        result
    }

    /// Writes delayed frames when they are due, and heartbeats when nothing else was written.
    pub(crate) fn pace(&self, heartbeat: Duration, shared: &Shared) {
        let mut queue = lock(&self.queue);
        let mut patience = CLOSE_SLICES;
        loop {
            if let Some((due, ..)) = queue.items.front() {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    if let Some((_, header, payload)) = queue.items.pop_front() {
                        queue.bytes -= header.length;
                        drop(queue);
                        self.space.notify_one();
                        let mut poll = |_: Duration| {
                            patience = patience.saturating_sub(lock(&self.queue).stop.into());
                            let give_up = patience == 0 || shared.closed.load(Ordering::Acquire);
                            if give_up {
                                Err(Fault::interrupted())
                            } else {
                                Ok(())
                            }
                        };
                        // The reader of the same peer reports a broken connection.
                        let _ = self.write(&header, &[&payload], &mut poll);
                        if patience == 0 {
                            return;
                        }
                        queue = lock(&self.queue);
                    }
                    continue;
                }
                queue = waited(&self.wake, queue, left.min(heartbeat / 2)).0;
            } else if queue.stop {
                return;
            } else {
                queue = waited(&self.wake, queue, heartbeat / 2).0;
            }
            // A transmitter that is busy, or has not got rid of its last bytes, needs no heartbeat.
            if !queue.stop
                && let Ok(mut tx) = self.tx.try_lock()
                && !tx.channel.stalled()
                && tx.written.elapsed() >= heartbeat
            {
                let beat = lock(&shared.inbox).heartbeat();
                let _ = tx
                    .channel
                    .write(&beat, &[], &mut |_| Err(Fault::interrupted()));
                tx.written = Instant::now();
                self.wire_bytes
                    .store(tx.channel.wire_bytes_sent(), Ordering::Relaxed);
            }
        }
    }

    /// Waits until a delayed frame of `length` bytes fits into the queue: beyond what a network holds on its way, and
    /// what the peer takes, its sender has to wait.
    pub(crate) fn wait_for_space(
        &self,
        length: u64,
        limits: &Limits,
        poll: &mut dyn FnMut() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let full = |queue: &Queue| {
            let frames = queue.items.len();
            frames > 0
                && (frames >= limits.early_frames_max
                    || queue.bytes + length > limits.early_bytes_max)
        };
        let mut queue = lock(&self.queue);
        while full(&queue) {
            let timed_out;
            (queue, timed_out) = waited(&self.space, queue, SLICE);
            if timed_out {
                drop(queue);
                poll()?;
                queue = lock(&self.queue);
            }
        }
        Ok(())
    }
}

/// Waits for a condition; whether the time was over.
fn waited<'a>(
    condition: &Condvar,
    queue: MutexGuard<'a, Queue>,
    time: Duration,
) -> (MutexGuard<'a, Queue>, bool) {
    let (queue, timeout) = condition
        .wait_timeout(queue, time)
        .unwrap_or_else(PoisonError::into_inner);
    (queue, timeout.timed_out())
}
