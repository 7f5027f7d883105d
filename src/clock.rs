//! Instants as clients see them: UTC, to the millisecond.

use std::{fmt, time::Duration};

use chrono::{DateTime, Datelike, SecondsFormat, SubsecRound, Utc};
use diesel::{deserialize::FromSqlRow, expression::AsExpression};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{specifications::schemas, store::sql_types::Timestamptz};

/// A moment in UTC, cut to milliseconds so that what is stored is what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Timestamptz)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Returns the present moment.
    #[must_use]
    pub fn now() -> Self {
        Utc::now().into()
    }

    /// Returns whole seconds since 1970, as a token's claims count.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.timestamp()
    }

    /// Returns milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// Makes a moment from milliseconds since 1970; `None` outside the calendar's range.
    #[must_use]
    pub fn from_unix_ms(ms: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(ms).map(Self)
    }

    /// Makes a moment from seconds since 1970; `None` outside the calendar's range.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Option<Self> {
        DateTime::from_timestamp(seconds, 0).map(Self)
    }

    /// Returns the chrono value, for the database.
    #[must_use]
    pub fn as_datetime(self) -> DateTime<Utc> {
        self.0
    }

    /// Returns the time from `earlier` to this moment, zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Self(moment.trunc_subsecs(3))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        (self.0 + duration).into()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let moment = DateTime::parse_from_rfc3339(&text).map_err(de::Error::custom)?;
        let moment = moment.to_utc();
        // In UTC it may be in another year than it says, and the format has four digits for it.
        if !(0..=9_999).contains(&moment.year()) {
            return Err(de::Error::custom("must be in the years 0 to 9999 of UTC"));
        }
        Ok(moment.into())
    }
}

schemas::described!(Timestamp, schemas::timestamp());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_any_offset_and_writes_utc_milliseconds() {
        let moment: Timestamp =
            serde_json::from_str(r#""2026-03-01T10:00:00.123456+02:00""#).expect("a valid instant");
        assert_eq!(moment.to_string(), "2026-03-01T08:00:00.123Z");
    }

    #[test]
    fn what_is_read_can_be_written_and_read_again() {
        let read = |text: &str| serde_json::from_str::<Timestamp>(&format!("\"{text}\""));
        let check = |text: &str, expected: Option<&str>| {
            let moment = read(text).ok();
            assert_eq!(moment.map(|it| it.to_string()).as_deref(), expected);
            assert!(expected.is_none_or(|written| read(written).ok() == moment));
        };
        check("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59.000Z"));
        check("9999-12-31T23:59:59-00:01", None);
        check("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00.000Z"));
        check("0000-01-01T00:00:00+00:01", None);
        check("2016-12-31T23:59:60.5Z", Some("2016-12-31T23:59:60.500Z"));
    }
}
