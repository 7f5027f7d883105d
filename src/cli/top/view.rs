//! What `/debug/actors` says, as a table. Pure.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use serde::Deserialize;

/// The answer of `/debug/actors`, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    taken_at: String,
    version: String,
    actors: Vec<Actor>,
    slices: Vec<Slice>,
    largest_mailboxes: Vec<Mailbox>,
    rooms: Vec<Room>,
    slowest_sockets: Vec<Socket>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Actor {
    actor: String,
    count: i64,
    mailbox_depth: i64,
    handled: u64,
    panicked: u64,
    dropped: u64,
    restarts: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slice {
    mailbox_depth: usize,
    state: Option<SliceTotals>,
}

#[derive(Debug, Deserialize)]
struct SliceTotals {
    sockets: usize,
    authenticated: usize,
    rooms: usize,
    draining: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mailbox {
    actor: String,
    id: String,
    mailbox_depth: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Room {
    id: String,
    mailbox_depth: usize,
    state: Option<RoomState>,
}

#[derive(Debug, Deserialize)]
struct RoomState {
    last: u64,
    heard: u64,
    attached: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Socket {
    session_id: String,
    mailbox_depth: usize,
    waiting_bytes: usize,
    waiting_ms: u64,
    rooms: usize,
}

/// Writes the tables; rates need an earlier snapshot and how long ago it was taken.
pub(super) fn render(now: &Snapshot, before: Option<(&Snapshot, Duration)>) -> String {
    let mut text = String::new();
    // A string takes all.
    let _ = write(&mut text, now, before);
    text
}

fn write(out: &mut String, now: &Snapshot, before: Option<(&Snapshot, Duration)>) -> fmt::Result {
    let sum = |of: fn(&SliceTotals) -> usize| {
        let known = now.slices.iter().filter_map(|it| it.state.as_ref());
        known.map(of).sum::<usize>()
    };
    let (sockets, rooms) = (sum(|it| it.sockets), sum(|it| it.rooms));
    let Snapshot {
        version, taken_at, ..
    } = now;
    writeln!(
        out,
        "roomcast {version}  {taken_at}  {sockets} sockets  {rooms} rooms\n"
    )?;
    actors(out, now, before)?;
    slices(out, &now.slices)?;
    if !now.largest_mailboxes.is_empty() {
        writeln!(out, "\n{:>9}  LARGEST MAILBOXES", "MAILBOX")?;
        for it in &now.largest_mailboxes {
            writeln!(out, "{:>9}  {} {}", it.mailbox_depth, it.actor, it.id)?;
        }
    }
    rooms_table(out, &now.rooms)?;
    sockets_table(out, &now.slowest_sockets)
}

fn actors(out: &mut String, now: &Snapshot, before: Option<(&Snapshot, Duration)>) -> fmt::Result {
    writeln!(
        out,
        "{:<14} {:>7} {:>9} {:>12} {:>10} {:>9} {:>9} {:>9}",
        "ACTOR", "LIVE", "MAILBOX", "HANDLED", "A SECOND", "PANICKED", "DROPPED", "RESTARTS"
    )?;
    for it in &now.actors {
        let earlier = before.and_then(|(before, since)| {
            let known = before.actors.iter().find(|known| known.actor == it.actor)?;
            Some(it.handled.saturating_sub(known.handled) as f64 / since.as_secs_f64())
        });
        let rate = earlier.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        writeln!(
            out,
            "{:<14} {:>7} {:>9} {:>12} {rate:>10} {:>9} {:>9} {:>9}",
            it.actor, it.count, it.mailbox_depth, it.handled, it.panicked, it.dropped, it.restarts
        )?;
    }
    Ok(())
}

fn slices(out: &mut String, slices: &[Slice]) -> fmt::Result {
    if slices.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:<14} {:>7} {:>9} {:>12} {:>10}",
        "SLICE", "SOCKETS", "MAILBOX", "LOGGED IN", "ROOMS"
    )?;
    for (number, it) in slices.iter().enumerate() {
        let depth = it.mailbox_depth;
        match &it.state {
            Some(state) => {
                let SliceTotals {
                    sockets,
                    authenticated,
                    rooms,
                    draining,
                } = state;
                let note = if *draining { "  draining" } else { "" };
                writeln!(
                    out,
                    "{number:<14} {sockets:>7} {depth:>9} {authenticated:>12} {rooms:>10}{note}"
                )?;
            }
            None => writeln!(out, "{number:<14} {:>7} {depth:>9}  does not answer", "?")?,
        }
    }
    Ok(())
}

fn rooms_table(out: &mut String, rooms: &[Room]) -> fmt::Result {
    if rooms.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:<36} {:>9} {:>9} {:>10} {:>10}",
        "ROOM", "SOCKETS", "MAILBOX", "DELIVERED", "HEARD OF"
    )?;
    for it in rooms {
        let (id, depth) = (&it.id, it.mailbox_depth);
        match &it.state {
            Some(RoomState {
                last,
                heard,
                attached,
            }) => {
                writeln!(
                    out,
                    "{id:<36} {attached:>9} {depth:>9} {last:>10} {heard:>10}"
                )?;
            }
            None => writeln!(out, "{id:<36} {:>9} {depth:>9}  does not answer", "?")?,
        }
    }
    Ok(())
}

fn sockets_table(out: &mut String, sockets: &[Socket]) -> fmt::Result {
    let slow = sockets.iter().filter(|it| it.waiting_bytes > 0);
    let slow: Vec<&Socket> = slow.collect();
    if slow.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:<36} {:>9} {:>9} {:>10} {:>10}",
        "SLOW SOCKET", "BYTES", "MAILBOX", "FOR MS", "ROOMS"
    )?;
    for it in slow {
        writeln!(
            out,
            "{:<36} {:>9} {:>9} {:>10} {:>10}",
            it.session_id, it.waiting_bytes, it.mailbox_depth, it.waiting_ms, it.rooms
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(handled: u64) -> Snapshot {
        serde_json::from_value(json!({
            "takenAt": "2026-01-01T00:00:00.000Z", "version": "1.2.3",
            "actors": [{
                "actor": "RoomActor", "count": 2, "mailboxDepth": 7, "handled": handled,
                "panicked": 1, "dropped": 0, "restarts": 1,
            }],
            "slices": [
                { "mailboxDepth": 0, "state": {
                    "sockets": 3, "authenticated": 2, "rooms": 2, "draining": true } },
                { "mailboxDepth": 9, "state": null },
            ],
            "largestMailboxes": [{ "actor": "RoomActor", "id": "a-room", "mailboxDepth": 7 }],
            "rooms": [
                { "id": "a-room", "mailboxDepth": 7, "state": null },
                { "id": "b-room", "mailboxDepth": 0,
                  "state": { "last": 4, "heard": 5, "attached": 3 } },
            ],
            "slowestSockets": [{
                "sessionId": "a-socket", "mailboxDepth": 0, "waitingBytes": 99, "waitingMs": 5,
                "rooms": 1,
            }],
        }))
        .expect("as the server writes it")
    }

    #[test]
    fn everything_is_on_a_line_of_its_own() {
        let (before, now) = (snapshot(100), snapshot(300));
        let text = render(&now, Some((&before, Duration::from_secs(2))));
        let has = |words: &[&str]| {
            let is_here = |line: &str| line.split_whitespace().eq(words.iter().copied());
            assert!(text.lines().any(is_here), "{words:?} in\n{text}");
        };
        has(&[
            "roomcast",
            "1.2.3",
            "2026-01-01T00:00:00.000Z",
            "3",
            "sockets",
            "2",
            "rooms",
        ]);
        has(&["RoomActor", "2", "7", "300", "100", "1", "0", "1"]);
        has(&["0", "3", "0", "2", "2", "draining"]);
        has(&["1", "?", "9", "does", "not", "answer"]);
        has(&["7", "RoomActor", "a-room"]);
        has(&["a-room", "?", "7", "does", "not", "answer"]);
        has(&["b-room", "3", "0", "4", "5"]);
        has(&["a-socket", "99", "0", "5", "1"]);
    }

    #[test]
    fn without_an_earlier_look_there_are_no_rates() {
        let text = render(&snapshot(300), None);
        assert!(text.contains("300          -"), "{text}");
    }
}
