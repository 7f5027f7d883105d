//! Many clients on one thread: they count what arrives as cheaply as they can, and check its order.

mod connecting;

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::Notify,
    task::{JoinHandle, spawn_local},
    time::timeout,
};

pub(crate) use connecting::{Seat, run};

use crate::{
    frame::{self, Received},
    open_loop,
};

/// How long what was sent may take to arrive everywhere.
const PATIENCE: Duration = Duration::from_secs(30);

const JOINED: &str = r#"{"event":"roomJoined""#;

thread_local! {
    /// Where bytes are read to: clients keep only what is no whole frame yet.
    static PORTION: RefCell<Box<[u8]>> = RefCell::new(vec![0; 64 * 1024].into());
}

/// What all clients have seen.
#[derive(Default)]
struct Tally {
    delivered: Cell<u64>,
    /// Rooms that were joined by sockets that were there already.
    joined: Cell<u64>,
    /// Messages that were not the next of their room, refusals, and sockets that closed.
    wrong: Cell<u64>,
    awaited: Cell<u64>,
    arrived: Notify,
    /// When the messages of the room were sent, and how long each took to each client.
    sent: RefCell<Vec<Instant>>,
    times: RefCell<Option<Histogram<u64>>>,
}

/// One client. It is in one room whose first message has `seq` 1.
struct Member {
    writer: OwnedWriteHalf,
    reading: JoinHandle<()>,
}

/// See the module. All sockets close with it.
pub(crate) struct Crowd {
    members: Vec<Member>,
    tally: Rc<Tally>,
}

impl Crowd {
    fn new() -> Self {
        Self {
            members: Vec::new(),
            tally: Rc::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    fn add(&mut self, line: connecting::Line) {
        let (reader, writer, rest) = line.into_parts();
        let reading = spawn_local(read(reader, rest, Rc::clone(&self.tally)));
        self.members.push(Member { writer, reading });
    }

    /// Writes bytes of one client.
    pub(crate) fn write(&self, member: usize, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.members[member].writer.try_write(bytes)?;
        ensure!(
            written == bytes.len(),
            "the server does not take what is sent"
        );
        Ok(())
    }

    /// Waits until so many messages more have arrived, all clients taken together.
    pub(crate) async fn arrive(&self, more: u64) -> anyhow::Result<()> {
        let tally = &self.tally;
        tally.awaited.set(tally.awaited.get() + more);
        let all = async {
            while tally.delivered.get() < tally.awaited.get() && tally.wrong.get() == 0 {
                tally.arrived.notified().await;
            }
        };
        let in_time = timeout(PATIENCE, all).await;
        ensure!(
            tally.wrong.get() == 0,
            "messages came twice or out of order, or sockets closed"
        );
        ensure!(in_time.is_ok(), "messages were lost");
        Ok(())
    }

    /// Waits until the sockets have joined so many further rooms in all.
    pub(crate) async fn joined(&self, rooms: u64) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.tally.joined.get() < rooms {
            if began.elapsed() > PATIENCE {
                bail!("the server does not answer");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Fails if anything came too often.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let tally = &self.tally;
        ensure!(
            tally.wrong.get() == 0,
            "messages came twice or out of order, or sockets closed"
        );
        ensure!(
            tally.delivered.get() == tally.awaited.get(),
            "more arrived than was sent"
        );
        Ok(())
    }

    /// Keeps the times of deliveries from now on; [`Self::sending`] tells when each was sent.
    pub(crate) fn keep_times(&self) -> anyhow::Result<()> {
        *self.tally.times.borrow_mut() = Some(open_loop::histogram()?);
        Ok(())
    }

    /// Notes when the next message of the room was to be sent.
    pub(crate) fn sending(&self, at: Instant) {
        self.tally.sent.borrow_mut().push(at);
    }

    pub(crate) fn times(&self) -> Option<Histogram<u64>> {
        self.tally.times.borrow_mut().take()
    }

    /// Stops reading one client's socket, which stays open.
    pub(crate) fn stall(&self, member: usize) {
        self.members[member].reading.abort();
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.members
            .iter()
            .for_each(|member| member.reading.abort());
    }
}

async fn read(mut reader: OwnedReadHalf, mut rest: Vec<u8>, tally: Rc<Tally>) {
    let mut next = 1;
    tally.take(&mut rest, &[], &mut next);
    loop {
        let read = poll_fn(|cx| {
            PORTION.with_borrow_mut(|portion| {
                let mut portion = ReadBuf::new(portion);
                let read = ready!(Pin::new(&mut reader).poll_read(cx, &mut portion));
                let is_open = read.is_ok() && !portion.filled().is_empty();
                if is_open {
                    tally.take(&mut rest, portion.filled(), &mut next);
                }
                Poll::Ready(is_open)
            })
        });
        if !read.await {
            tally.goes_wrong();
            return;
        }
    }
}

impl Tally {
    /// Takes whole frames off what came before and what came now; keeps the rest.
    fn take(&self, rest: &mut Vec<u8>, bytes: &[u8], next: &mut u64) {
        if rest.is_empty() {
            let left = self.take_whole(bytes, next);
            rest.extend_from_slice(left);
            return;
        }
        rest.extend_from_slice(bytes);
        let left = self.take_whole(rest, next).len();
        rest.drain(..rest.len() - left);
    }

    fn take_whole<'a>(&self, mut bytes: &'a [u8], next: &mut u64) -> &'a [u8] {
        while let Some((received, left)) = frame::split(bytes) {
            bytes = left;
            match received {
                Received::Message { seq, .. } => self.message(seq, next),
                Received::Failed | Received::Close => self.goes_wrong(),
                Received::Text(text) if text.starts_with(JOINED) => {
                    self.joined.set(self.joined.get() + 1);
                }
                // A socket lives 60 s without a pong, which is longer than any round.
                Received::Accepted { .. } | Received::Ping | Received::Text(_) => {}
            }
        }
        bytes
    }

    fn message(&self, seq: u64, next: &mut u64) {
        if seq != *next {
            self.goes_wrong();
        }
        *next = seq + 1;
        let delivered = self.delivered.get() + 1;
        self.delivered.set(delivered);
        if delivered == self.awaited.get() {
            self.arrived.notify_one();
        }
        if let Some(times) = &mut *self.times.borrow_mut() {
            let sent = self.sent.borrow().get(seq as usize - 1).copied();
            let micros = sent.map(|sent| sent.elapsed().as_micros() as u64);
            times.saturating_record(micros.unwrap_or_default().max(1));
        }
    }

    fn goes_wrong(&self) {
        self.wrong.set(self.wrong.get() + 1);
        self.arrived.notify_one();
    }
}
