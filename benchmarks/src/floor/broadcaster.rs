//! A broadcaster on bare epoll: it accepts, upgrades, and writes a ready-made frame to everybody.
//!
//! It knows no users, rooms or storage, keeps nothing, and cuts whoever does not read.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
};

use anyhow::Context;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::frame;

const LISTENER: Token = Token(usize::MAX);

/// A connection; its token is its place in the list.
struct Peer {
    stream: TcpStream,
    is_upgraded: bool,
    /// The beginning of a frame or of the handshake.
    rest: Vec<u8>,
}

struct Broadcaster {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    seq: u64,
    portion: Vec<u8>,
}

pub(crate) fn run() -> anyhow::Result<()> {
    let poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);
    let broadcaster = Broadcaster {
        poll,
        listener,
        peers: Vec::new(),
        seq: 0,
        portion: vec![0; 16 * 1024],
    };
    broadcaster.serve()
}

impl Broadcaster {
    fn serve(mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(place) => self.read(place),
                }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("no connection can be accepted"),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.peers.len());
            self.poll
                .registry()
                .register(&mut stream, token, Interest::READABLE)?;
            self.peers.push(Some(Peer {
                stream,
                is_upgraded: false,
                rest: Vec::new(),
            }));
        }
    }

    fn read(&mut self, place: usize) {
        loop {
            let Some(peer) = &mut self.peers[place] else {
                return;
            };
            match peer.stream.read(&mut self.portion) {
                Ok(0) => self.peers[place] = None,
                Ok(read) => {
                    peer.rest.extend_from_slice(&self.portion[..read]);
                    match peer.take() {
                        Some(messages) => (0..messages).for_each(|_| self.broadcast()),
                        None => self.peers[place] = None,
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.peers[place] = None,
            }
        }
    }

    fn broadcast(&mut self) {
        self.seq += 1;
        let ready_made = new_message(self.seq);
        for slot in &mut self.peers {
            let Some(peer) = slot.as_mut().filter(|peer| peer.is_upgraded) else {
                continue;
            };
            let written = peer.stream.write(&ready_made);
            if !written.is_ok_and(|written| written == ready_made.len()) {
                *slot = None;
            }
        }
    }
}

impl Peer {
    /// Returns how many messages have come since; `None` when the peer has gone wrong.
    fn take(&mut self) -> Option<usize> {
        if !self.is_upgraded {
            let Some(end) = frame::head_end(&self.rest) else {
                return Some(0);
            };
            let answer = upgrade(std::str::from_utf8(&self.rest[..end]).ok()?)?;
            self.stream.write_all(answer.as_bytes()).ok()?;
            self.rest.drain(..end);
            self.is_upgraded = true;
        }
        let (mut messages, mut taken) = (0, 0);
        while let Some((len, opcode)) = frame::client_frame_len(&self.rest[taken..]) {
            if self.rest.len() < taken + len {
                break;
            }
            messages += usize::from(opcode == 1);
            taken += len;
        }
        self.rest.drain(..taken);
        Some(messages)
    }
}

fn upgrade(head: &str) -> Option<String> {
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.trim().as_bytes())
    ))
}

/// A frame like roomcast's, of the same length.
fn new_message(seq: u64) -> Vec<u8> {
    frame::server(&format!(
        r#"{{"event":"newMessage","data":{{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","roomId":"{id}","seq":{seq},"senderId":"{id}","clientMsgId":"{id}","type":"TEXT","content":"{content}","createdAt":"2026-03-01T08:00:00.123Z"}}}}"#,
        id = "67e55044-10b1-426f-9247-bb680e5fe0c8",
        content = frame::CONTENT,
    ))
}
