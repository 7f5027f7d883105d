//! Frames that wait for one socket, in their order.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::{
    metrics,
    protocol::server::{Frame, Kind},
};

/// Most bytes handed to the connection at once: one write.
const MAX_WRITE_BYTES: usize = 64 * 1024;

/// The frames; an empty queue keeps no memory, as most sockets are idle most of the time.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What a write into the socket left over.
    rest: Bytes,
    /// The oldest frame, unless it is the first of `more`: one frame alone needs no allocation.
    first: Option<Frame>,
    more: VecDeque<Frame>,
    /// Of all frames.
    bytes: usize,
    /// Since when the oldest frame has waited for the peer.
    pub(super) waiting_since: Option<Instant>,
}

impl Queue {
    /// Returns the bytes of the frames that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether nothing is left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.first.is_none() && self.more.is_empty()
    }

    /// Returns how long the oldest frame has waited for the peer.
    pub(super) fn waited_for(&self) -> Duration {
        self.waiting_since
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.bytes.len();
        if self.first.is_none() && self.more.is_empty() {
            self.first = Some(frame);
        } else {
            self.more.push_back(frame);
        }
    }

    /// Notes that what is queued waits for the peer.
    pub(super) fn waits(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    /// Drops all frames. What was begun is still written to its end.
    pub(super) fn clear(&mut self) {
        *self = Self {
            rest: std::mem::take(&mut self.rest),
            ..Self::default()
        };
    }

    /// Puts back what a write did not take.
    pub(super) fn put_back(&mut self, rest: Bytes) {
        self.rest = rest;
    }

    /// Takes as much as one write may carry, at least one frame if any waits.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        if !self.rest.is_empty() {
            return Some(std::mem::take(&mut self.rest));
        }
        let first = self.pop()?;
        let fits = |next: Option<&Frame>, have: usize| {
            next.is_some_and(|frame| have + frame.bytes.len() <= MAX_WRITE_BYTES)
        };
        let bytes = if fits(self.more.front(), first.bytes.len()) {
            let mut write =
                BytesMut::with_capacity(self.bytes.min(MAX_WRITE_BYTES) + first.bytes.len());
            write.extend_from_slice(&first.bytes);
            while fits(self.more.front(), write.len())
                && let Some(next) = self.pop()
            {
                write.extend_from_slice(&next.bytes);
            }
            write.freeze()
        } else {
            first.bytes
        };
        if self.more.is_empty() {
            self.more = VecDeque::new();
            self.waiting_since = None;
        } else {
            self.waiting_since = Some(Instant::now());
        }
        Some(bytes)
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.first.take().or_else(|| self.more.pop_front())?;
        self.bytes -= frame.bytes.len();
        metrics::get().frame_out(frame.kind);
        if frame.kind == Kind::NewMessage {
            metrics::get().delivered.increment(1);
        }
        Some(frame)
    }
}
