//! Every query but the ingest, written once: `postgres.rs` and `sqlite.rs` each compile this file and
//! its modules against their own connection.

pub(crate) mod accounts;
pub(crate) mod installation;
pub(crate) mod invites;
pub(crate) mod members;
pub(crate) mod messages;
pub(crate) mod offsets;
pub(crate) mod rooms;

use super::{Conn, Db, find_memberships, lock_room, transaction};
