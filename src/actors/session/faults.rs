//! What a socket did wrong lately, and when it is enough.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Bad frames in [`BAD_FRAME_WINDOW`] that get an answer; the next one closes.
const MAX_BAD_FRAMES: usize = 3;
const BAD_FRAME_WINDOW: Duration = Duration::from_secs(60);

/// Refusals for a rate in [`REFUSAL_WINDOW`] that are borne; the last one closes.
const MAX_REFUSALS: usize = 100;
const REFUSAL_WINDOW: Duration = Duration::from_secs(10);

/// Moments within a sliding window.
#[derive(Debug, Default)]
struct Recent(VecDeque<Instant>);

impl Recent {
    /// Notes a moment; returns how many lie within the window, this one included.
    fn note(&mut self, now: Instant, window: Duration) -> usize {
        while self
            .0
            .front()
            .is_some_and(|at| now.duration_since(*at) > window)
        {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.0.len()
    }
}

/// A socket's recent faults; most sockets have none, and keep no room for them.
#[derive(Debug, Default)]
pub(super) struct Faults(Option<Box<RecentFaults>>);

#[derive(Debug, Default)]
struct RecentFaults {
    bad_frames: Recent,
    refusals: Recent,
}

impl Faults {
    /// Notes a bad frame; returns whether it is one too many.
    pub(super) fn bad_frame(&mut self) -> bool {
        let recent = self.0.get_or_insert_default();
        recent.bad_frames.note(Instant::now(), BAD_FRAME_WINDOW) > MAX_BAD_FRAMES
    }

    /// Notes a refusal for a rate; returns whether it is one too many.
    pub(super) fn refused(&mut self) -> bool {
        let recent = self.0.get_or_insert_default();
        recent.refusals.note(Instant::now(), REFUSAL_WINDOW) >= MAX_REFUSALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_count_within_their_window() {
        let mut recent = Recent::default();
        let start = Instant::now();
        let window = Duration::from_secs(60);
        assert_eq!(recent.note(start, window), 1);
        assert_eq!(recent.note(start + window, window), 2);
        assert_eq!(
            recent.note(start + window + Duration::from_secs(1), window),
            2
        );
    }

    #[test]
    fn the_fourth_bad_frame_and_the_hundredth_refusal_close() {
        let mut faults = Faults::default();
        assert_eq!(
            (0..4).map(|_| faults.bad_frame()).collect::<Vec<_>>(),
            [false, false, false, true]
        );
        assert_eq!((0..100).filter(|_| faults.refused()).count(), 1);
    }
}
