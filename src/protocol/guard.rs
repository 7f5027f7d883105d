//! The frame guard: reads frame headers as bytes arrive, before anything is buffered.
//!
//! The codec behind it checks a frame's size only once all of it is in memory, so a header that
//! declares a gigabyte would be believed. The guard sees each header first and ends the socket.
//! Rules: [RFC 6455, section 5](https://www.rfc-editor.org/rfc/rfc6455#section-5).

use super::{MAX_FRAGMENTS, MAX_FRAME_BYTES, close::CloseCode};

/// Largest payload of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL_BYTES: u64 = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const SHORT_LEN: u8 = 0x7f;

/// How a peer broke the rules of framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Reserved bits, unknown opcode, unmasked frame, bad control frame or bad continuation.
    Protocol,
    /// Declared length, or the sum of the fragments, or their number is over the limit.
    TooBig,
}

impl Violation {
    /// Returns how the socket is closed for it.
    #[must_use]
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Protocol => CloseCode::ProtocolError,
            Self::TooBig => CloseCode::TooBig,
        }
    }
}

/// Where in a frame the next byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Second,
    /// Extended length: bytes still to come, value so far, and the least that needs so many.
    Length {
        left: u8,
        value: u64,
        least: u64,
    },
    /// Mask and payload: bytes still to come.
    Body(u64),
}

/// Follows the frames of one socket. A few bytes of state, about ten nanoseconds a frame.
#[derive(Debug, Clone)]
pub struct FrameGuard {
    place: Place,
    first: u8,
    /// Of the message under way, when it is fragmented.
    fragments: usize,
    message_bytes: u64,
    /// That have ended.
    frames: u64,
}

impl Default for FrameGuard {
    fn default() -> Self {
        Self {
            place: Place::First,
            first: 0,
            fragments: 0,
            message_bytes: 0,
            frames: 0,
        }
    }
}

impl FrameGuard {
    /// Follows a chunk as it came from the network.
    ///
    /// # Errors
    /// At the first header that breaks a rule; the guard is of no use after that.
    pub fn inspect(&mut self, mut chunk: &[u8]) -> Result<(), Violation> {
        while let Some((&byte, rest)) = chunk.split_first() {
            match self.place {
                Place::First => {
                    self.check_first(byte)?;
                    self.first = byte;
                    self.place = Place::Second;
                }
                Place::Second => self.place = self.read_second(byte)?,
                Place::Length { left, value, least } => {
                    let value = (value << 8) | u64::from(byte);
                    self.place = match left {
                        1 if value < least => return Err(Violation::Protocol),
                        1 => self.begin_body(value)?,
                        _ => Place::Length {
                            left: left - 1,
                            value,
                            least,
                        },
                    };
                }
                Place::Body(left) => {
                    let here = left.min(chunk.len() as u64);
                    chunk = &chunk[usize::try_from(here).expect("at most the chunk's length")..];
                    self.place = Place::Body(left - here);
                    if left == here {
                        self.place = Place::First;
                        self.frames += 1;
                    }
                    continue;
                }
            }
            chunk = rest;
        }
        Ok(())
    }

    /// Returns how many frames are whole.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    fn check_first(&self, byte: u8) -> Result<(), Violation> {
        let (fin, opcode) = (byte & FIN != 0, byte & OPCODE);
        let in_message = self.fragments > 0;
        let legal = byte & RESERVED == 0
            && match opcode {
                0 => in_message,
                1 | 2 => !in_message,
                8..=10 => fin,
                _ => false,
            };
        if legal {
            Ok(())
        } else {
            Err(Violation::Protocol)
        }
    }

    fn read_second(&mut self, byte: u8) -> Result<Place, Violation> {
        if byte & MASKED == 0 {
            return Err(Violation::Protocol);
        }
        match byte & SHORT_LEN {
            126 if !self.is_control() => Ok(Place::Length {
                left: 2,
                value: 0,
                least: 126,
            }),
            127 if !self.is_control() => Ok(Place::Length {
                left: 8,
                value: 0,
                least: 1 << 16,
            }),
            len => self.begin_body(u64::from(len)),
        }
    }

    fn begin_body(&mut self, len: u64) -> Result<Place, Violation> {
        const MASK_BYTES: u64 = 4;
        if self.is_control() {
            if len > MAX_CONTROL_BYTES {
                return Err(Violation::Protocol);
            }
        } else {
            self.count_fragment(len)?;
        }
        Ok(Place::Body(len + MASK_BYTES))
    }

    fn count_fragment(&mut self, len: u64) -> Result<(), Violation> {
        self.fragments += 1;
        self.message_bytes = self.message_bytes.saturating_add(len);
        if self.message_bytes > MAX_FRAME_BYTES as u64 || self.fragments > MAX_FRAGMENTS {
            return Err(Violation::TooBig);
        }
        if self.first & FIN != 0 {
            self.fragments = 0;
            self.message_bytes = 0;
        }
        Ok(())
    }

    fn is_control(&self) -> bool {
        self.first & OPCODE >= 8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload {
            0..126 => bytes.push(MASKED | payload as u8),
            126..=0xffff => {
                bytes.push(MASKED | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(MASKED | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend(vec![0; 4 + payload]);
        bytes
    }

    fn declared(first: u8, len: u64) -> Vec<u8> {
        let mut bytes = vec![first, MASKED | 127];
        bytes.extend(len.to_be_bytes());
        bytes
    }

    #[test]
    fn each_rule_of_framing_is_held() {
        let check = |name: &str, bytes: Vec<u8>, expected: Result<(), Violation>| {
            assert_eq!(FrameGuard::default().inspect(&bytes), expected, "{name}");
        };
        let many = |fragments: usize| {
            let mut bytes = frame(0x01, 1);
            (1..fragments - 1).for_each(|_| bytes.extend(frame(0x00, 1)));
            bytes.extend(frame(0x80, 1));
            bytes
        };
        check("text", frame(0x81, 5), Ok(()));
        check("largest", frame(0x81, MAX_FRAME_BYTES), Ok(()));
        check(
            "one more",
            declared(0x81, MAX_FRAME_BYTES as u64 + 1),
            Err(Violation::TooBig),
        );
        check("1 GiB", declared(0x81, 1 << 30), Err(Violation::TooBig));
        check("2^64-1", declared(0x81, u64::MAX), Err(Violation::TooBig));
        check("64 fragments", many(64), Ok(()));
        check("65 fragments", many(65), Err(Violation::TooBig));
        check(
            "sum of fragments",
            [frame(0x01, 40_000), frame(0x80, 30_000)].concat(),
            Err(Violation::TooBig),
        );
        check(
            "ping between fragments",
            [
                frame(0x01, 1),
                frame(0x89, 4),
                frame(0x80, 1),
                frame(0x81, 1),
            ]
            .concat(),
            Ok(()),
        );
        let longer = |bytes: &[u8]| [&[0x81][..], bytes, &[0; 4], b"hello"].concat();
        check(
            "a short length in two bytes",
            longer(&[0xfe, 0, 5]),
            Err(Violation::Protocol),
        );
        check(
            "a short length in eight bytes",
            longer(&[0xff, 0, 0, 0, 0, 0, 0, 0, 5]),
            Err(Violation::Protocol),
        );
        check("reserved bit", frame(0xc1, 1), Err(Violation::Protocol));
        check("opcode 3", frame(0x83, 1), Err(Violation::Protocol));
        check("fragmented ping", frame(0x09, 1), Err(Violation::Protocol));
        check("ping of 126", frame(0x89, 126), Err(Violation::Protocol));
        check("no start", frame(0x80, 1), Err(Violation::Protocol));
        check(
            "text inside a message",
            [frame(0x01, 1), frame(0x81, 1)].concat(),
            Err(Violation::Protocol),
        );
        check("unmasked", vec![0x81, 0x01, b'x'], Err(Violation::Protocol));
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_makes_no_difference(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cuts in prop::collection::vec(1_usize..20, 1..20),
        ) {
            let whole = FrameGuard::default().inspect(&bytes);
            let mut guard = FrameGuard::default();
            let mut rest = &bytes[..];
            let mut cut = cuts.iter().cycle();
            let mut pieces = Ok(());
            while !rest.is_empty() && pieces.is_ok() {
                let at = (*cut.next().expect("a cycle has no end")).min(rest.len());
                pieces = guard.inspect(&rest[..at]);
                rest = &rest[at..];
            }
            prop_assert_eq!(whole, pieces);
        }
    }
}
