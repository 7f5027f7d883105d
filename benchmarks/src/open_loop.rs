//! One client on two threads: one sends when it is time, whatever the server does; the other reads.
//!
//! A latency is counted from the moment at which a frame was to be sent. Threads that sleep keep
//! their times to a twentieth of a millisecond; an asynchronous timer would miss them by one.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail, ensure};
use hdrhistogram::Histogram;

use crate::{
    figures::{Figures, Unit},
    frame::{self, Received, Run},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A blocking socket.
pub(crate) struct Wire {
    stream: TcpStream,
    rest: Vec<u8>,
}

/// What is sent, and what counts as its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// A heartbeat, until it is acknowledged.
    Heartbeat,
    /// A message, until it is accepted.
    Accepted,
    /// A message, until it is stored and comes back.
    NewMessage,
}

/// The moments at which something is due, from now on.
pub(crate) struct Beat {
    began: Instant,
    step: Duration,
}

impl Beat {
    pub(crate) fn new(per_s: u32) -> Self {
        let began = Instant::now() + Duration::from_millis(5);
        let step = Duration::from_secs(1) / per_s;
        Self { began, step }
    }

    pub(crate) fn due(&self, number: u64) -> Instant {
        self.began + self.step * number as u32
    }

    pub(crate) fn wait_for(&self, number: u64) {
        thread::sleep(self.due(number).saturating_duration_since(Instant::now()));
    }
}

/// Returns an empty histogram of microseconds.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Returns a percentile of a histogram of microseconds, in milliseconds.
pub(crate) fn ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

/// Returns a percentile that was taken over all rounds together.
pub(crate) fn pooled(histogram: &Histogram<u64>, quantile: f64) -> Figures {
    Figures::of(Unit::Millis, [ms(histogram, quantile)])
}

impl Wire {
    /// Connects with a token, and joins a room unless it is empty.
    pub(crate) fn connect(addr: SocketAddr, token: &str, room: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let rest = Vec::new();
        let mut wire = Self { stream, rest };
        wire.stream.write_all(frame::handshake(token).as_bytes())?;
        while frame::head_end(&wire.rest).is_none() {
            wire.more()?;
        }
        let end = frame::head_end(&wire.rest).unwrap_or_default();
        ensure!(wire.rest.starts_with(b"HTTP/1.1 101 "), "no upgrade");
        wire.rest.drain(..end);
        wire.text("ready")?;
        if !room.is_empty() {
            wire.stream.write_all(&frame::join_room(room))?;
            wire.text("roomJoined")?;
        }
        Ok(wire)
    }

    fn more(&mut self) -> anyhow::Result<()> {
        let mut portion = [0; 16 * 1024];
        let read = self.stream.read(&mut portion)?;
        ensure!(read > 0, "the server hung up");
        self.rest.extend_from_slice(&portion[..read]);
        Ok(())
    }

    /// Reads until a frame is what is looked for.
    fn find<T>(
        &mut self,
        look: impl Fn(Received<'_>) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        loop {
            while let Some((received, left)) = frame::split(&self.rest) {
                let found = look(received);
                let taken = self.rest.len() - left.len();
                self.rest.drain(..taken);
                if let Some(found) = found? {
                    return Ok(found);
                }
            }
            self.more()?;
        }
    }

    fn text(&mut self, event: &str) -> anyhow::Result<()> {
        let start = format!(r#"{{"event":"{event}""#);
        self.find(|received| {
            Ok(match received {
                Received::Text(text) => text.starts_with(&start).then_some(()),
                _ => None,
            })
        })
    }

    /// Sends at a rate until told to stop; returns how long each answer took, in microseconds.
    pub(crate) fn exchange(
        self,
        room: &str,
        exchange: Exchange,
        per_s: u32,
        stop: &AtomicBool,
    ) -> anyhow::Result<Histogram<u64>> {
        let run = Run::random();
        let mut writer = self.stream.try_clone()?;
        let (sent, to_be_answered) = mpsc::channel();
        let beat = Beat::new(per_s);
        thread::scope(|scope| {
            let reading = scope.spawn(|| self.answers(exchange, run, &beat, to_be_answered));
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) && !reading.is_finished() {
                let bytes = match exchange {
                    Exchange::Heartbeat => frame::heartbeat(),
                    _ => frame::send_numbered(room, run, number),
                };
                beat.wait_for(number);
                writer.write_all(&bytes)?;
                // The reader may have failed, which is told below.
                let _ = sent.send(number);
                number += 1;
            }
            drop(sent);
            let read = reading.join();
            read.map_err(|_| anyhow!("a thread panicked"))?
        })
    }

    /// Reads an answer to each frame, in the order in which they were sent.
    fn answers(
        mut self,
        exchange: Exchange,
        run: Run,
        beat: &Beat,
        sent: Receiver<u64>,
    ) -> anyhow::Result<Histogram<u64>> {
        let mut times = histogram()?;
        while let Ok(number) = sent.recv() {
            let answered = self.find(|received| answer(received, exchange, run))?;
            let took = beat.due(number).elapsed();
            if exchange != Exchange::Heartbeat && answered != number {
                bail!("message {answered} was answered where {number} should be");
            }
            times.record(took.as_micros().max(1) as u64)?;
        }
        Ok(times)
    }
}

/// Returns which message a frame answers.
fn answer(received: Received<'_>, exchange: Exchange, run: Run) -> anyhow::Result<Option<u64>> {
    Ok(match (received, exchange) {
        (Received::Failed | Received::Close, _) => bail!("the server refuses"),
        (Received::Accepted { text }, Exchange::Accepted) => frame::numbered(text, run),
        (Received::Message { text, .. }, Exchange::NewMessage) => frame::numbered(text, run),
        (Received::Text(text), Exchange::Heartbeat) => {
            text.starts_with(r#"{"event":"heartbeatAck""#).then_some(0)
        }
        _ => None,
    })
}
