//! Where a page begins, as clients write it.

use crate::{
    clock::Timestamp,
    error::ApiError,
    ids::MessageId,
    store::{PageCursor, RoomCursor},
};

use super::query;

/// Reads where a page of messages begins.
///
/// # Errors
/// For what is no id, and for two places.
pub(crate) fn read_page(before: Option<&str>, after: Option<&str>) -> Result<PageCursor, ApiError> {
    let before = query::optional::<MessageId>("before", before)?;
    let after = query::optional::<MessageId>("after", after)?;
    match (before, after) {
        (None, None) => Ok(PageCursor::Newest),
        (Some(id), None) => Ok(PageCursor::Before(id)),
        (None, Some(id)) => Ok(PageCursor::After(id)),
        (Some(_), Some(_)) => {
            let both = "before and after cannot be used together";
            Err(ApiError::field("before", both))
        }
    }
}

/// Writes a place in the list of rooms: the milliseconds of the activity and the room's id.
pub(crate) fn write_room(cursor: RoomCursor) -> String {
    format!("{}_{}", cursor.active_at.unix_ms(), cursor.room_id)
}

/// Reads a place in the list of rooms.
///
/// # Errors
/// For what was never written so.
pub(crate) fn read_room(text: &str) -> Result<RoomCursor, ApiError> {
    let parse = || {
        let (ms, room_id) = text.split_once('_')?;
        Some(RoomCursor {
            active_at: Timestamp::from_unix_ms(ms.parse().ok()?)?,
            room_id: room_id.parse().ok()?,
        })
    };
    // `parse` takes what was never written so: a sign, capitals, a time that no database knows.
    let was_written =
        |cursor: &RoomCursor| cursor.active_at.unix_ms() >= 0 && write_room(*cursor) == text;
    let cursor = parse().filter(was_written);
    cursor.ok_or_else(|| ApiError::field("cursor", "must be one that a Link header gave"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RoomId;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = RoomCursor {
            active_at: Timestamp::now(),
            room_id: RoomId::random(),
        };
        assert_eq!(read_room(&write_room(cursor)), Ok(cursor));
        for bad in [
            "",
            "_",
            "x",
            "1_x",
            "+1_67e55044-10b1-426f-9247-bb680e5fe0c8",
            "01_67e55044-10b1-426f-9247-bb680e5fe0c8",
            "-900000000000000_67e55044-10b1-426f-9247-bb680e5fe0c8",
            "99999999999999999_67e55044-10b1-426f-9247-bb680e5fe0c8",
        ] {
            assert!(read_room(bad).is_err(), "{bad}");
        }
    }
}
