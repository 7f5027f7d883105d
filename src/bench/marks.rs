//! The names of messages: a run's mark and a number, so that a name needs no table. Pure.

use uuid::{Builder, Uuid};

use crate::ids::ClientMsgId;

/// The number of a message of this run, in the order in which they were due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SendNo(pub(super) u64);

impl SendNo {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the names of one run have in common: the upper half of a UUID of version 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u64);

/// The bits of the lower half that are the number; the others say which kind of UUID it is.
const NUMBER: u64 = (1 << 62) - 1;

impl Mark {
    pub(super) fn random() -> Self {
        let (upper, _) = Uuid::new_v4().as_u64_pair();
        Self(upper)
    }

    /// Returns the name of a message.
    pub(super) fn name(self, no: SendNo) -> ClientMsgId {
        let bytes = Uuid::from_u64_pair(self.0, no.0).into_bytes();
        ClientMsgId(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Returns the message of a name; `None` for one of somebody else.
    pub(super) fn find(self, name: ClientMsgId) -> Option<SendNo> {
        let (_, lower) = name.0.as_u64_pair();
        let no = SendNo(lower & NUMBER);
        (self.name(no) == name).then_some(no)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_message() {
        let mark = Mark::random();
        for no in [0, 1, 1_000_000, NUMBER] {
            let no = SendNo(no);
            assert_eq!(mark.find(mark.name(no)), Some(no));
            assert_eq!(Mark::random().find(mark.name(no)), None, "another run's");
        }
        assert_eq!(mark.find(ClientMsgId::random()), None);
    }
}
