//! Column types that mean the same on PostgreSQL and SQLite, and how domain values fill them.
//!
//! `schema.rs` imports these instead of diesel's own, so that one schema serves both: a UUID is
//! `uuid` there and text here, an instant `timestamptz` there and text of fixed width here.

use std::{borrow::Cow, io::Write};

use chrono::{DateTime, Utc};
use diesel::{
    deserialize::{self, FromSql},
    pg::{Pg, PgValue},
    query_builder::QueryId,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{Interval, SqlType, Timestamptz as DieselTimestamptz, ops},
    sqlite::{Sqlite, SqliteValue},
};

pub use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::{Role, Visibility};
use crate::{
    clock::Timestamp,
    ids::{ClientMsgId, Epoch, EventId, LogId, LoginId, MessageId, RoomId, Seq, TokenId, UserId},
    message::MessageType,
};

/// `uuid` on PostgreSQL, text on SQLite.
#[derive(SqlType, QueryId, Debug, Clone, Copy)]
#[diesel(
    postgres_type(oid = 2950, array_oid = 2951),
    sqlite_type(name = "Text")
)]
pub struct Uuid;

/// `timestamptz` on PostgreSQL, text on SQLite.
#[derive(SqlType, QueryId, Debug, Clone, Copy)]
#[diesel(
    postgres_type(oid = 1184, array_oid = 1185),
    sqlite_type(name = "Text")
)]
pub struct Timestamptz;

// `table!` asks for these of every type with this name.
impl ops::Add for Timestamptz {
    type Rhs = Interval;
    type Output = Self;
}

impl ops::Sub for Timestamptz {
    type Rhs = Interval;
    type Output = Self;
}

// ------------------------------------------------------------------ identifiers

macro_rules! uuid_columns {
    ($($id:ident)+) => {$(
        impl ToSql<Uuid, Pg> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.0.as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl FromSql<Uuid, Pg> for $id {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(Self(uuid::Uuid::from_slice(value.as_bytes())?))
            }
        }

        impl ToSql<Uuid, Sqlite> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.to_string());
                Ok(IsNull::No)
            }
        }

        impl FromSql<Uuid, Sqlite> for $id {
            fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
                Ok(value.read_text().parse()?)
            }
        }
    )+};
}

uuid_columns! { UserId RoomId ClientMsgId EventId LoginId TokenId Epoch LogId }

// ------------------------------------------------------------- values kept as text

/// A value that both databases keep as text.
trait TextColumn: Sized {
    fn write(&self) -> Cow<'static, str>;
    fn read(text: &str) -> deserialize::Result<Self>;
}

macro_rules! text_columns {
    ($($value:ident)+) => {$(
        impl ToSql<Text, Pg> for $value {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.write().as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl FromSql<Text, Pg> for $value {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Self::read(std::str::from_utf8(value.as_bytes())?)
            }
        }

        impl ToSql<Text, Sqlite> for $value {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.write().into_owned());
                Ok(IsNull::No)
            }
        }

        impl FromSql<Text, Sqlite> for $value {
            fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
                Self::read(value.read_text())
            }
        }
    )+};
}

text_columns! { MessageId Role Visibility MessageType }

impl TextColumn for MessageId {
    fn write(&self) -> Cow<'static, str> {
        self.to_string().into()
    }

    fn read(text: &str) -> deserialize::Result<Self> {
        Ok(text.parse()?)
    }
}

macro_rules! named {
    ($($value:ident: $($variant:ident = $name:literal)+;)+) => {$(
        impl TextColumn for $value {
            fn write(&self) -> Cow<'static, str> {
                match self { $(Self::$variant => $name.into(),)+ }
            }

            fn read(text: &str) -> deserialize::Result<Self> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    other => Err(format!("unknown value `{other}`").into()),
                }
            }
        }
    )+};
}

named! {
    Role: Owner = "owner" Admin = "admin" Member = "member";
    Visibility: Public = "public" Private = "private";
    MessageType: Text = "TEXT" Image = "IMAGE" System = "SYSTEM";
}

// -------------------------------------------------------------- numbers and instants

impl ToSql<BigInt, Pg> for Seq {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&self.0.cast_signed().to_be_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<BigInt, Pg> for Seq {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        <i64 as FromSql<BigInt, Pg>>::from_sql(value).map(|seq| Self(seq.cast_unsigned()))
    }
}

impl ToSql<BigInt, Sqlite> for Seq {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.cast_signed());
        Ok(IsNull::No)
    }
}

impl FromSql<BigInt, Sqlite> for Seq {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(value.read_long().cast_unsigned()))
    }
}

impl ToSql<Timestamptz, Pg> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let moment = self.as_datetime();
        ToSql::<DieselTimestamptz, Pg>::to_sql(&moment, &mut out.reborrow())
    }
}

impl FromSql<Timestamptz, Pg> for Timestamp {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        <DateTime<Utc> as FromSql<DieselTimestamptz, Pg>>::from_sql(value).map(Self::from)
    }
}

impl ToSql<Timestamptz, Sqlite> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.to_string());
        Ok(IsNull::No)
    }
}

impl FromSql<Timestamptz, Sqlite> for Timestamp {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(DateTime::parse_from_rfc3339(value.read_text())?
            .to_utc()
            .into())
    }
}
