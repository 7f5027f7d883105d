//! The identifiers of the system, each a type of its own so that none is taken for another.

use std::{fmt, str::FromStr};

use diesel::{deserialize::FromSqlRow, expression::AsExpression};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{json, specifications::schemas, store::sql_types};

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    #[error("must be a UUID of 36 characters")]
    NotUuid,
    #[error("must be a ULID of 26 characters")]
    NotUlid,
}

/// Parses the hyphenated form alone; `uuid` itself would also take braces, URNs and bare hex.
fn parse_uuid(text: &str) -> Result<Uuid, ParseIdError> {
    const HYPHENATED_LEN: usize = 36;
    if text.len() != HYPHENATED_LEN {
        return Err(ParseIdError::NotUuid);
    }
    Uuid::try_parse(text).map_err(|_| ParseIdError::NotUuid)
}

macro_rules! uuid_id {
    ($(#[doc = $doc:literal] $name:ident;)+) => {$(
        #[doc = $doc]
        ///
        /// Reads the hyphenated form in either case, writes it in lower case.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
        #[diesel(sql_type = sql_types::Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Makes a new random id (UUID version 4).
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_uuid(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        schemas::described!($name, schemas::uuid($doc));
    )+};
}

uuid_id! {
    /// A user's account.
    UserId;
    /// A room.
    RoomId;
    /// The sender's own name for a message; with room and sender it makes a repeat recognisable.
    ClientMsgId;
    /// One socket, from its handshake to its close.
    SessionId;
    /// One login and all the tokens refreshed from it (`sid` in a token).
    LoginId;
    /// One token (`jti` in it).
    TokenId;
    /// One record of `chat.messages.v1`, whatever offset it is read at.
    EventId;
    /// One running server process.
    ServerId;
    /// One life of the database; restoring a backup begins another.
    Epoch;
    /// One message log: a Kafka cluster or an embedded log file.
    LogId;
}

/// The id of a stored message: a ULID, in the order of `Seq` within its room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql_types::Text)]
pub struct MessageId(pub Ulid);

impl FromStr for MessageId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let id = Ulid::from_string(text).map_err(|_| ParseIdError::NotUlid)?;
        // Crockford's first character carries three bits only: a larger one overflows 128 bits.
        if text.as_bytes().first().is_some_and(|first| *first > b'7') {
            return Err(ParseIdError::NotUlid);
        }
        Ok(Self(id))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; ulid::ULID_LEN];
        serializer.serialize_str(self.0.array_to_str(&mut buffer))
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

schemas::described!(
    MessageId,
    schemas::ulid("The id of a stored message: a ULID, in the order of `seq` within its room.")
);

/// The place of a message in its room: 1, 2, 3, … without a gap; 0 is before the first.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    AsExpression,
    FromSqlRow,
    ToSchema,
)]
#[schema(examples(17))]
#[serde(transparent)]
#[diesel(sql_type = sql_types::BigInt)]
pub struct Seq(#[serde(deserialize_with = "json::whole")] pub u64);

impl Seq {
    /// Before the first message of a room.
    pub const ZERO: Self = Self(0);

    /// The seq that follows this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_a_uuid() {
        let canonical = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let check = |text: &str, expected: Option<&str>| {
            let parsed = text.parse::<RoomId>().ok().map(|id| id.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        };
        check(canonical, Some(canonical));
        check(&canonical.to_uppercase(), Some(canonical));
        check("67e5504410b1426f9247bb680e5fe0c8", None);
        check("{67e55044-10b1-426f-9247-bb680e5fe0c8}", None);
        check("urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8", None);
        check("67e55044-10b1-426f-9247-bb680e5fe0cg", None);
        check("", None);
    }

    #[test]
    fn a_message_id_is_a_ulid_that_fits_128_bits() {
        let check = |text: &str, expected: bool| {
            assert_eq!(text.parse::<MessageId>().is_ok(), expected, "{text}");
        };
        check("01ARZ3NDEKTSV4RRFFQ69G5FAV", true);
        check("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", true);
        check("8ZZZZZZZZZZZZZZZZZZZZZZZZZ", false);
        check("01ARZ3NDEKTSV4RRFFQ69G5FA", false);
        check("01ARZ3NDEKTSV4RRFFQ69G5FAU", false);
        check("é1ARZ3NDEKTSV4RRFFQ69G5FA", false);
    }
}
