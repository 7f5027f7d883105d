//! Who is a member of which room, remembered for a while.
//!
//! Only positive answers are kept, at most [`TTL`]; an event removes them. A read that began
//! before an event is not kept, so that a leave is never undone by a slow look-up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;

use crate::{
    ids::{RoomId, UserId},
    store::{Member, Standing, Store, StoreError},
};

/// How long a membership is believed without asking.
const TTL: Duration = Duration::from_secs(30);

/// Most memberships that are remembered.
const CAPACITY: u64 = 200_000;

/// The cache before the store.
#[derive(Debug, Clone)]
pub struct Memberships {
    store: Store,
    members: Cache<(RoomId, UserId), Arc<Member>>,
    /// Grows with every event that ends or changes a membership.
    changes: Arc<AtomicU64>,
}

impl Memberships {
    /// Makes an empty cache.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            members: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(TTL)
                .build(),
            changes: Arc::default(),
        }
    }

    /// Returns a membership that is remembered.
    #[must_use]
    pub fn remembered(&self, room_id: RoomId, user_id: UserId) -> Option<Arc<Member>> {
        self.members.get(&(room_id, user_id))
    }

    /// Returns what a user is to a room, from memory or from the store.
    ///
    /// # Errors
    /// When it is not remembered and the store is away.
    pub async fn standing(&self, room_id: RoomId, user_id: UserId) -> Result<Standing, StoreError> {
        if let Some(member) = self.remembered(room_id, user_id) {
            return Ok(Standing::Member(Member::clone(&member)));
        }
        let before = self.changes.load(Ordering::SeqCst);
        let (standing, _) = self.store.standing(room_id, user_id).await?;
        if let Standing::Member(member) = &standing {
            self.remember(member, before);
        }
        Ok(standing)
    }

    fn remember(&self, member: &Member, read_at: u64) {
        let key = (member.room_id, member.user_id);
        self.members.insert(key, Arc::new(member.clone()));
        if self.changes.load(Ordering::SeqCst) != read_at {
            self.members.invalidate(&key);
        }
    }

    /// Forgets a membership that has ended or changed.
    pub fn forget(&self, room_id: RoomId, user_id: UserId) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.members.invalidate(&(room_id, user_id));
    }
}
