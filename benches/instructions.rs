//! Counts the instructions of a message on its way through the server, and refuses more of them;
//! its allocations are counted beside them.
//!
//! Single-threaded, without network or disk: a client's frame is read, becomes a record, is read
//! as the worker and the gateway read it, becomes one frame, and is queued for and written to every
//! socket of a room, each a pair of sockets in this process. callgrind and dhat count; two runs of different length are subtracted, so that
//! the start does not count. `dev/instructions` runs it; `benches/instructions.json` is what it is held
//! to.
//!
//! It counts an unoptimised build, the one that the tests use: that costs no build of its own and
//! shows the same copies, allocations and lookups. What the optimised server executes is row 3 of
//! docs/BENCHMARKS.md.

use std::{
    env, fs,
    hint::black_box,
    io::{self, Read},
    path::Path,
    process::{Command, ExitCode},
    sync::Arc,
    task::{Context, Waker},
};

use actix::System;
use anyhow::{Context as _, bail, ensure};
use roomcast::{
    clock::Timestamp,
    fanout::Delivery,
    ids::{EventId, MessageId, RoomId, Seq, SessionId, UserId},
    message::{MessageType, PersistedMessage, SubmittedMessage, decode_submitted},
    outbox::{self, Handle, Outbox},
    protocol::{
        client::{self, ClientEvent},
        dialect::Dialect,
    },
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use ulid::Ulid;
use uuid::Uuid;

/// What is committed, beside this file.
const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.json");

/// More than this over what is committed is refused.
const MOST_GROWTH: f64 = 1.05;

/// Messages of the two runs.
const SHORT: u64 = 20;
const LONG: u64 = 120;

/// Sockets of the large room.
const SOCKETS: u64 = 101;

/// As long as what people write.
const CONTENT: &str =
    "Shall we meet at seven at the usual place? I bring the maps, you bring the tent.";

fn main() -> anyhow::Result<ExitCode> {
    // Cargo adds `--bench`.
    let args: Vec<String> = env::args().skip(1).filter(|it| it != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["work", messages, sockets] => {
            let (messages, sockets) = (messages.parse()?, sockets.parse()?);
            System::new().block_on(work(messages, sockets))?;
            Ok(ExitCode::SUCCESS)
        }
        ["--write"] => {
            let counted = serde_json::to_string_pretty(&Counted::now()?)?;
            fs::write(EXPECTED, format!("{counted}\n"))?;
            println!("{counted}");
            Ok(ExitCode::SUCCESS)
        }
        [] => judge(),
        _ => bail!("usage: instructions [--write]"),
    }
}

/// What was counted, and by which compiler's code.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    compiler: String,
    instructions: Costs,
    allocations: Costs,
}

/// What one message costs.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Costs {
    /// In a room of one socket.
    message: u64,
    /// For each further socket.
    delivery: u64,
}

impl Counted {
    fn now() -> anyhow::Result<Self> {
        Ok(Self {
            compiler: compiler()?,
            instructions: Costs::by(instructions)?,
            allocations: Costs::by(allocations)?,
        })
    }

    fn committed() -> anyhow::Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(EXPECTED)?)?)
    }
}

impl Costs {
    /// Runs the work, twice in a small room and twice in a large one.
    fn by(count: fn(u64, u64) -> anyhow::Result<u64>) -> anyhow::Result<Self> {
        let per_message = |sockets| -> anyhow::Result<u64> {
            let [short, long] = [count(SHORT, sockets)?, count(LONG, sockets)?];
            Ok(long.saturating_sub(short) / (LONG - SHORT))
        };
        let [small, large] = [per_message(1)?, per_message(SOCKETS)?];
        Ok(Self {
            message: small,
            delivery: large.saturating_sub(small) / (SOCKETS - 1),
        })
    }
}

fn judge() -> anyhow::Result<ExitCode> {
    let committed = Counted::committed()?;
    let counted = Counted::now()?;
    println!("{}", serde_json::to_string_pretty(&counted)?);
    if counted.compiler != committed.compiler {
        println!(
            "SKIPPED the comparison of instructions: what is committed is of {}",
            committed.compiler
        );
        return Ok(ExitCode::SUCCESS);
    }
    let (now, then) = (&counted.instructions, &committed.instructions);
    let pairs = [
        ("message", now.message, then.message),
        ("delivery", now.delivery, then.delivery),
    ];
    let mut status = ExitCode::SUCCESS;
    for (name, now, then) in pairs {
        let growth = now as f64 / then as f64;
        println!("instructions of a {name}: {growth:.3} times what is committed");
        if growth > MOST_GROWTH {
            eprintln!("over {MOST_GROWTH} times; if that has to be: dev/instructions --write");
            status = ExitCode::FAILURE;
        }
    }
    Ok(status)
}

fn compiler() -> anyhow::Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8(version.stdout)?.trim().to_owned())
}

fn instructions(messages: u64, sockets: u64) -> anyhow::Result<u64> {
    let said = valgrind("callgrind", messages, sockets)?;
    number(&said, "Collected :", "")
}

fn allocations(messages: u64, sockets: u64) -> anyhow::Result<u64> {
    let said = valgrind("dhat", messages, sockets)?;
    number(&said, "Total:", " bytes in ")
}

/// Runs the work under a tool of valgrind; returns what that says.
fn valgrind(tool: &str, messages: u64, sockets: u64) -> anyhow::Result<String> {
    let this: &Path = &env::current_exe()?;
    let counting = Command::new("valgrind")
        .arg(format!("--tool={tool}"))
        .arg(format!("--{tool}-out-file=/dev/null"))
        .arg(this)
        .args(["work", &messages.to_string(), &sockets.to_string()])
        .output()
        .context("valgrind is missing")?;
    let said = String::from_utf8_lossy(&counting.stderr).into_owned();
    ensure!(counting.status.success(), "{said}");
    Ok(said)
}

/// Returns the number in the line that has a word, behind another word.
fn number(said: &str, line: &str, behind: &str) -> anyhow::Result<u64> {
    let found = said.lines().find_map(|it| it.split_once(line));
    let (_, found) = found.with_context(|| format!("valgrind does not say: {line}"))?;
    let (_, found) = found.split_once(behind).unwrap_or(("", found));
    let digits = found.trim_start().split(' ').next().unwrap_or_default();
    Ok(digits.replace(',', "").parse()?)
}

/// Has messages of one sender read, stored in thought, encoded and written to every socket.
///
/// All ids are made from numbers: the same run executes the same instructions.
async fn work(messages: u64, sockets: u64) -> anyhow::Result<()> {
    outbox::start_flusher();
    let room_id = RoomId(id(1));
    let mut members = (0..sockets)
        .map(|number| Member::of(room_id, number))
        .collect::<io::Result<Vec<_>>>()?;
    for seq in 1..=messages {
        let record = accept(&members[0].outbox, room_id, seq);
        let delivery = Delivery::new(store(&record, seq));
        for member in &members {
            assert!(member.outbox.deliver(&delivery), "there is room for it");
        }
        outbox::flushed().await;
        for member in &mut members {
            member.read()?;
        }
    }
    Ok(())
}

/// A socket with both of its ends.
struct Member {
    outbox: Arc<Outbox>,
    peer: Socket,
}

impl Member {
    fn of(room_id: RoomId, number: u64) -> io::Result<Self> {
        let (socket, peer) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let handle = Handle {
            socket: Arc::new(socket),
            is_bare: true,
        };
        let outbox = Outbox::new(SessionId(id(100 + number)), Some(handle), Dialect::Json);
        outbox.identify(UserId(id(1_000 + number)));
        outbox.begin_room(room_id, Seq::ZERO);
        // As a connection that has nothing to write.
        let nothing = outbox.poll_take(&mut Context::from_waker(Waker::noop()));
        assert!(nothing.is_pending());
        Ok(Self { outbox, peer })
    }

    fn read(&mut self) -> io::Result<()> {
        let read = self.peer.read(&mut [0; 4_096])?;
        assert!(black_box(read) > CONTENT.len(), "a message came");
        Ok(())
    }
}

/// A frame becomes a record, as in the session.
fn accept(outbox: &Arc<Outbox>, room_id: RoomId, seq: u64) -> Vec<u8> {
    let frame = format!(
        r#"{{"event":"sendMessage","data":{{"roomId":"{}","clientMsgId":"{}","content":"{CONTENT}"}},"id":{seq}}}"#,
        room_id.0,
        id(10_000 + seq),
    );
    let request = client::parse(black_box(&frame)).expect("a good frame");
    let ClientEvent::SendMessage(send) = request.event else {
        panic!("it is a message");
    };
    outbox.expect_acceptance(send.room_id, send.draft.client_msg_id, request.id);
    let submitted = SubmittedMessage {
        event_id: EventId(id(20_000 + seq)),
        room_id: send.room_id,
        sender_id: UserId(id(1_000)),
        client_msg_id: send.draft.client_msg_id,
        message_type: MessageType::Text,
        content: send.draft.content,
        produced_at: Timestamp::now(),
        version: 1,
    };
    serde_json::to_vec(&submitted).expect("a record")
}

/// A record becomes a stored message, as in the worker and then in the gateway.
fn store(record: &[u8], seq: u64) -> PersistedMessage {
    let submitted = decode_submitted(black_box(record)).expect("a good record");
    let message_id = MessageId(Ulid::from(u128::from(seq)));
    let stored = submitted.persisted(message_id, Seq(seq), Timestamp::now());
    let published = serde_json::to_vec(&stored).expect("a record");
    serde_json::from_slice(black_box(&published)).expect("a stored message")
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number))
}
