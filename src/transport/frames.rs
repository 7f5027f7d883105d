//! Frames of a socket as its actor sees them: messages put together, and why there are no more.
//!
//! Pure but for the counters that the stream before the codec shares ([`Progress`]).

use std::{cell::Cell, rc::Rc};

use actix_http::ws::{CloseReason, Item, Message, ProtocolError};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::protocol::{close::CloseCode, guard::Violation};

/// Why the stream of bytes ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Violation(Violation),
    /// What the guard takes for good, and is none: binary, text that is not UTF-8.
    Broken,
    Disconnected,
}

/// What the two sides of the codec know of each other.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    fault: Cell<Option<Fault>>,
    handled: Cell<u64>,
}

impl Progress {
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.fault.set(Some(fault));
    }

    /// Returns how many frames were handled.
    pub(crate) fn handled(&self) -> u64 {
        self.handled.get()
    }
}

/// Whether a socket takes binary messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Refused,
    #[cfg(feature = "echo")]
    Taken,
}

/// What has come in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Text(ByteString),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    /// A part of a message.
    Part,
}

/// Why nothing will come in any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The peer closes.
    Closed(Option<CloseReason>),
    /// The peer breaks a rule.
    Broken(CloseCode),
    Lost,
}

/// Puts the messages of one socket together.
#[derive(Debug)]
pub(crate) struct Frames {
    progress: Rc<Progress>,
    binary: Binary,
    /// Of the message under way; the guard bounds it.
    fragments: BytesMut,
    /// How many of their bytes are text.
    checked: usize,
    is_binary: bool,
}

impl Frames {
    pub(crate) fn new(progress: Rc<Progress>, binary: Binary) -> Self {
        Self {
            progress,
            binary,
            fragments: BytesMut::new(),
            checked: 0,
            is_binary: false,
        }
    }

    /// Reads what the codec made of the next bytes.
    ///
    /// # Errors
    /// [`Ending`] says how the socket ends.
    pub(crate) fn read(
        &mut self,
        frame: Result<Message, ProtocolError>,
    ) -> Result<Arrived, Ending> {
        let handled = &self.progress.handled;
        handled.set(handled.get() + 1);
        let arrived = self.arrived(frame);
        if matches!(arrived, Err(Ending::Broken(_))) && self.progress.fault().is_none() {
            self.progress.fail(Fault::Broken);
        }
        arrived
    }

    fn arrived(&mut self, frame: Result<Message, ProtocolError>) -> Result<Arrived, Ending> {
        match frame {
            Ok(Message::Text(text)) => Ok(Arrived::Text(text)),
            Ok(Message::Binary(bytes)) => self.take_binary().map(|()| Arrived::Binary(bytes)),
            Ok(Message::Continuation(part)) => self.assemble(part),
            Ok(Message::Ping(payload)) => Ok(Arrived::Ping(payload)),
            Ok(Message::Pong(_)) => Ok(Arrived::Pong),
            // The codec makes none.
            Ok(Message::Nop) => Ok(Arrived::Part),
            Ok(Message::Close(reason)) => Err(Ending::Closed(reason)),
            Err(error) => Err(self.ending(&error)),
        }
    }

    fn take_binary(&self) -> Result<(), Ending> {
        match self.binary {
            Binary::Refused => Err(Ending::Broken(CloseCode::Unsupported)),
            #[cfg(feature = "echo")]
            Binary::Taken => Ok(()),
        }
    }

    fn assemble(&mut self, part: Item) -> Result<Arrived, Ending> {
        let part = match part {
            Item::FirstText(part) => {
                self.is_binary = false;
                part
            }
            Item::FirstBinary(part) => {
                self.take_binary()?;
                self.is_binary = true;
                part
            }
            Item::Continue(part) => part,
            Item::Last(part) => {
                self.fragments.extend_from_slice(&part);
                return self.whole();
            }
        };
        self.fragments.extend_from_slice(&part);
        self.check_text()?;
        Ok(Arrived::Part)
    }

    /// Refuses what can not become text any more, whatever follows.
    fn check_text(&mut self) -> Result<(), Ending> {
        if self.is_binary {
            return Ok(());
        }
        self.checked += match std::str::from_utf8(&self.fragments[self.checked..]) {
            Ok(text) => text.len(),
            // A fragment may end within a character.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(Ending::Broken(CloseCode::InvalidText)),
        };
        Ok(())
    }

    fn whole(&mut self) -> Result<Arrived, Ending> {
        self.checked = 0;
        let whole = std::mem::take(&mut self.fragments).freeze();
        if self.is_binary {
            return Ok(Arrived::Binary(whole));
        }
        match ByteString::try_from(whole) {
            Ok(text) => Ok(Arrived::Text(text)),
            Err(_) => Err(Ending::Broken(CloseCode::InvalidText)),
        }
    }

    fn ending(&self, error: &ProtocolError) -> Ending {
        match (self.progress.fault(), error) {
            (Some(Fault::Violation(violation)), _) => Ending::Broken(violation.close_code()),
            (Some(Fault::Disconnected), _) => Ending::Lost,
            // With the guard before it, the codec can still find text that is not UTF-8 and a bad
            // close frame, nothing else.
            (None, ProtocolError::Io(_)) => Ending::Broken(CloseCode::InvalidText),
            (None | Some(Fault::Broken), _) => Ending::Broken(CloseCode::ProtocolError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: impl IntoIterator<Item = Item>) -> Result<Arrived, Ending> {
        let mut frames = Frames::new(Rc::default(), Binary::Refused);
        let parts = parts
            .into_iter()
            .map(|part| Ok(Message::Continuation(part)));
        let mut read = Ok(Arrived::Part);
        for part in parts {
            read = frames.read(part);
            if read != Ok(Arrived::Part) {
                break;
            }
        }
        read
    }

    #[test]
    fn text_is_refused_with_the_fragment_that_breaks_it() {
        use Item::{Continue, FirstText, Last};
        let (cut, rest) = (
            Bytes::from_static(b"a\xe2\x82"),
            Bytes::from_static(b"\xac"),
        );
        let not_text = Err(Ending::Broken(CloseCode::InvalidText));
        let begun = || FirstText(cut.clone());
        assert_eq!(read([begun(), Continue(rest.clone())]), Ok(Arrived::Part));
        let whole = Ok(Arrived::Text("a€".into()));
        assert_eq!(read([begun(), Last(rest)]), whole);
        let wrong = Bytes::from_static(b"\x28");
        assert_eq!(read([begun(), Continue(wrong)]), not_text);
        assert_eq!(read([begun(), Last(Bytes::new())]), not_text);
    }

    #[test]
    fn a_binary_message_is_refused_when_it_begins() {
        let refused = Err(Ending::Broken(CloseCode::Unsupported));
        assert_eq!(read([Item::FirstBinary(Bytes::new())]), refused);
    }
}
