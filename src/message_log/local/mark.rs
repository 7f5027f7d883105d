//! `log.mark`: how far the log was accepted, written apart from the log itself.
//!
//! SQLite takes the first frame of its `-wal` file that does not check out for the end of it, so a
//! cut or a flipped bit there silently takes back the newest transactions. The mark is what tells
//! a shortened log from a short one: it is written and synced after each commit and before anybody
//! hears that their record was accepted. Two slots are written in turn, so that a crash in the
//! middle of one leaves the other; it then lags behind the log, never runs ahead of it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use uuid::Uuid;

use super::refusal::{Fault, OpenError, Refusal};
use crate::ids::LogId;

/// Begins each slot; the last byte is the format.
const MAGIC: [u8; 8] = *b"rcmark\0\x01";

/// Bytes of a slot that count.
const SLOT_LEN: usize = 52;

/// Where the second slot begins: another page of the disk than the first.
const SLOT_STRIDE: u64 = 4_096;

/// The file's length, which never changes.
const FILE_LEN: u64 = 2 * SLOT_STRIDE;

/// The offset after the last record of each durable topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ends {
    pub messages: u64,
    pub dead_letters: u64,
}

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub log_id: LogId,
    /// Grows by one with each write; the newest slot counts.
    sequence: u64,
    /// Everything before these offsets was accepted.
    pub ends: Ends,
}

impl Slot {
    fn encode(&self) -> [u8; SLOT_LEN] {
        let mut bytes = [0; SLOT_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(self.log_id.0.as_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.ends.messages.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.ends.dead_letters.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..48]);
        bytes[48..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Returns `None` for a slot that is damaged or was never written.
    fn decode(bytes: &[u8; SLOT_LEN]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*crc) != crc32fast::hash(body) || !body.starts_with(&MAGIC) {
            return None;
        }
        let number = |at: usize| body[at..].first_chunk().map(|b| u64::from_le_bytes(*b));
        Some(Self {
            log_id: LogId(Uuid::from_bytes(*body[8..].first_chunk()?)),
            sequence: number(24)?,
            ends: Ends {
                messages: number(32)?,
                dead_letters: number(40)?,
            },
        })
    }
}

/// Reads a slot of any bytes, and writes it again.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn rewritten(bytes: &[u8; SLOT_LEN]) -> Option<[u8; SLOT_LEN]> {
    Slot::decode(bytes).map(|slot| slot.encode())
}

/// The mark, open for writing.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    newest: Slot,
}

impl Mark {
    /// Makes the mark of a log that holds nothing; it is durable when this returns.
    pub(super) fn create(path: &Path, log_id: LogId) -> Result<Slot, OpenError> {
        let slot = Slot {
            log_id,
            sequence: 0,
            ends: Ends::default(),
        };
        let unfinished = path.with_extension("mark.new");
        let create = || {
            let file = File::create(&unfinished)?;
            file.set_len(FILE_LEN)?;
            file.write_all_at(&slot.encode(), 0)?;
            file.write_all_at(&slot.encode(), SLOT_STRIDE)?;
            file.sync_all()?;
            put_in_place(&unfinished, path)
        };
        create().map_err(|e| OpenError::file(path, "made", e))?;
        Ok(slot)
    }

    /// Reads what was marked last, without changing the file; `None` when there is no file.
    pub(super) fn read(path: &Path) -> Result<Option<Slot>, OpenError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(OpenError::file(path, "read", e)),
        };
        let slot_at = |at: u64| Slot::decode(bytes[at as usize..].first_chunk()?);
        let newest = if bytes.len() as u64 == FILE_LEN {
            [slot_at(0), slot_at(SLOT_STRIDE)]
                .into_iter()
                .flatten()
                .max_by_key(|slot| slot.sequence)
        } else {
            None
        };
        newest
            .map(Some)
            .ok_or_else(|| Refusal::new(path, Fault::Cut).into())
    }

    /// Opens the mark for writing, beginning with both slots: a damaged one is made good.
    pub(super) fn open(path: &Path, newest: Slot, ends: Ends) -> Result<Self, OpenError> {
        let open = || {
            let file = OpenOptions::new().write(true).open(path)?;
            let mut mark = Self { file, newest };
            mark.write(ends)?;
            mark.write(ends)?;
            Ok(mark)
        };
        open().map_err(|e| OpenError::file(path, "written", e))
    }

    /// Marks what was accepted; it is durable when this returns.
    pub(super) fn write(&mut self, ends: Ends) -> io::Result<()> {
        let slot = Slot {
            sequence: self.newest.sequence + 1,
            ends,
            ..self.newest
        };
        let at = (slot.sequence % 2) * SLOT_STRIDE;
        self.file.write_all_at(&slot.encode(), at)?;
        self.file.sync_data()?;
        self.newest = slot;
        Ok(())
    }

    /// Makes every later write fail.
    #[cfg(test)]
    pub(super) fn break_for_test(&mut self) -> File {
        let read_only = File::open("/dev/null").expect("the null device");
        std::mem::replace(&mut self.file, read_only)
    }

    #[cfg(test)]
    pub(super) fn mend_for_test(&mut self, file: File) {
        self.file = file;
    }
}

/// Gives a finished file its name, durably.
pub(super) fn put_in_place(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::rename(unfinished, path)?;
    let folder = path.parent().expect("a file lies in a folder");
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(messages: u64) -> Ends {
        Ends {
            messages,
            dead_letters: 7,
        }
    }

    #[test]
    fn the_newest_slot_counts_and_the_other_stands_in_for_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log.mark");
        let created = Mark::create(&path, LogId::random()).expect("a new mark");
        assert_eq!(Mark::read(&path).expect("a good mark"), Some(created));
        let mut mark = Mark::open(&path, created, Ends::default()).expect("a good mark");
        for messages in 1..=5 {
            mark.write(ends(messages)).expect("a write");
        }
        let read = || {
            Mark::read(&path)
                .expect("a good mark")
                .expect("a mark")
                .ends
        };
        assert_eq!(read(), ends(5));
        let newest_at = (mark.newest.sequence % 2) * SLOT_STRIDE;
        mark.file
            .write_all_at(b"torn", newest_at + 30)
            .expect("a write");
        assert_eq!(read(), ends(4));
    }

    #[test]
    fn a_cut_or_doubly_damaged_mark_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log.mark");
        Mark::create(&path, LogId::random()).expect("a new mark");
        let whole = fs::read(&path).expect("a file");
        let check = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("a write");
            let error = Mark::read(&path).expect_err("a bad mark");
            assert!(matches!(
                error,
                OpenError::Refused(Refusal {
                    fault: Fault::Cut,
                    ..
                })
            ));
        };
        check(&[]);
        check(&whole[..whole.len() - 1]);
        check(&[&whole[..], b"x"].concat());
        let mut damaged = whole;
        damaged[20] ^= 1;
        damaged[SLOT_STRIDE as usize + 50] ^= 1;
        check(&damaged);
    }

    #[test]
    fn no_flipped_bit_of_a_slot_goes_unnoticed() {
        let slot = Slot {
            log_id: LogId::random(),
            sequence: 3,
            ends: ends(4),
        };
        let bytes = slot.encode();
        assert_eq!(Slot::decode(&bytes), Some(slot));
        for bit in 0..SLOT_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Slot::decode(&flipped), None, "bit {bit}");
        }
    }
}
