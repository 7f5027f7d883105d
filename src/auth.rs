//! Who is calling: tokens, passwords, and which of them still count.

mod failures;
mod hs256;
mod passwords;
mod tokens;

pub use failures::{Attempt, LoginFailures};
pub use passwords::{MAX_PASSWORD_BYTES, Passwords};
pub use tokens::{Claims, IssuedToken, Tokens};

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

use crate::{
    clock::Timestamp,
    error::{ApiError, Code},
    ids::{LoginId, TokenId, UserId},
    store::{Store, StoreError, User},
};

/// Longest e-mail address, in bytes.
pub const MAX_EMAIL_BYTES: usize = 254;

/// Most that wait for a turn to log in; more are refused at once.
const MAX_WAITING: usize = 256;

/// How long an account is believed without asking the store; and, while the store is away, for how
/// long after it was seen last.
const USER_TTL: Duration = Duration::from_secs(30);

/// Most accounts that are remembered.
const USER_CAPACITY: u64 = 100_000;

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub user_id: UserId,
    /// The login that the token was issued or refreshed from.
    pub login_id: LoginId,
    pub token_id: TokenId,
    pub display_name: String,
    /// When the token runs out.
    pub expires_at: Timestamp,
    /// The generation of the user's tokens that this one is of.
    pub generation: u64,
}

/// An account as the store had it.
#[derive(Debug)]
struct Known {
    user: Arc<User>,
    read_at: Instant,
    /// How long after that it was seen last, in milliseconds, while it was believed.
    seen_ms: AtomicU64,
}

impl Known {
    /// Notes that the account is seen; returns it as long as it is believed without asking.
    fn see(&self) -> Option<Arc<User>> {
        let age = self.read_at.elapsed();
        (age < USER_TTL).then(|| {
            let age_ms = age.as_millis() as u64;
            self.seen_ms.fetch_max(age_ms, Ordering::Relaxed);
            Arc::clone(&self.user)
        })
    }

    fn was_seen_lately(&self) -> bool {
        let seen = Duration::from_millis(self.seen_ms.load(Ordering::Relaxed));
        self.read_at.elapsed() < seen + USER_TTL
    }
}

/// Judges tokens: signature, claims, logout, password change, account.
#[derive(Debug, Clone)]
pub struct Authenticator {
    tokens: Tokens,
    store: Store,
    users: Cache<UserId, Arc<Known>>,
    /// Grows with every password change, so that a look-up that began before is not kept.
    changes: Arc<AtomicU64>,
    revoked: Arc<RwLock<HashMap<LoginId, Timestamp>>>,
    started: Instant,
    /// When the revoked logins were read last, in milliseconds since `started`.
    reloaded_ms: Arc<AtomicU64>,
}

impl Authenticator {
    /// Makes one that knows no revocation yet.
    #[must_use]
    pub fn new(tokens: Tokens, store: Store) -> Self {
        Self {
            tokens,
            store,
            users: Cache::builder()
                .max_capacity(USER_CAPACITY)
                // Seen last just before it was to be asked for again.
                .time_to_live(2 * USER_TTL)
                .build(),
            changes: Arc::default(),
            revoked: Arc::default(),
            started: Instant::now(),
            reloaded_ms: Arc::default(),
        }
    }

    /// Learns the revoked logins whose tokens have not run out; to be called before serving.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn load(&self, now: Timestamp) -> Result<(), StoreError> {
        let revoked = self.store.revoked_logins(now).await?;
        self.write_revoked(|known| known.extend(revoked));
        Ok(())
    }

    /// Learns anew what was revoked, for an event may have been lost; not if that was done less
    /// than `interval` ago.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn reload(&self, interval: Duration) -> Result<(), StoreError> {
        let now = self.started.elapsed().as_millis() as u64;
        let last = self.reloaded_ms.load(Ordering::SeqCst);
        let is_due = now.saturating_sub(last) >= interval.as_millis() as u64;
        let exchange = |from, to| {
            let exchanged =
                self.reloaded_ms
                    .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
            exchanged.is_ok()
        };
        // Of several slices one does it, for all.
        if !is_due || !exchange(last, now) {
            return Ok(());
        }
        let loaded = self.load(Timestamp::now()).await;
        if loaded.is_err() {
            exchange(now, last);
        }
        loaded
    }

    /// Returns which of these, who were judged some time ago, have been revoked since by a change
    /// of the password.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn outdated(
        &self,
        identities: Vec<Arc<Identity>>,
    ) -> Result<Vec<Arc<Identity>>, StoreError> {
        let users: HashSet<_> = identities.iter().map(|who| who.user_id).collect();
        let states = self.store.token_states(users.into_iter().collect()).await?;
        let states: HashMap<_, _> = states.into_iter().collect();
        let is_outdated = |who: &Arc<Identity>| {
            let state = states.get(&who.user_id);
            state.is_some_and(|state| !state.counts(who.generation, who.token_id))
        };
        let outdated: Vec<_> = identities.into_iter().filter(is_outdated).collect();
        for who in &outdated {
            self.users.invalidate(&who.user_id);
        }
        Ok(outdated)
    }

    /// Judges a token.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a token that does not count, `UNAVAILABLE` when the store is away
    /// and the account was not seen lately.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, ApiError> {
        let claims = self.tokens.verify(token, Timestamp::now());
        let claims = claims.ok_or_else(unauthenticated)?;
        let user = self.user(claims.sub).await?;
        let login_id = claims.login_id();
        let token_id = claims.token_id();
        let counts = user.tokens.counts(claims.generation(), token_id);
        if !counts || self.is_revoked(login_id) {
            return Err(unauthenticated());
        }
        Ok(Identity {
            user_id: user.id,
            login_id,
            token_id,
            display_name: user.display_name.clone(),
            expires_at: claims.expires_at(),
            generation: claims.generation(),
        })
    }

    /// Returns whether an identity that was judged a moment ago still counts.
    ///
    /// While the store is away it does.
    pub async fn still_counts(&self, who: &Identity) -> bool {
        if self.is_revoked(who.login_id) {
            return false;
        }
        match self.user(who.user_id).await {
            Ok(user) => user.tokens.counts(who.generation, who.token_id),
            Err(error) => error.code != Code::Unauthenticated,
        }
    }

    async fn user(&self, user_id: UserId) -> Result<Arc<User>, ApiError> {
        if let Some(user) = self.users.get(&user_id).and_then(|known| known.see()) {
            return Ok(user);
        }
        let before = self.changes.load(Ordering::SeqCst);
        let read_at = Instant::now();
        let found = match self.store.user(user_id).await {
            Ok(found) => found,
            Err(error) => return self.seen_lately(user_id, &error),
        };
        let Some(user) = found.map(Arc::new) else {
            self.users.invalidate(&user_id);
            return Err(unauthenticated());
        };
        let known = Known {
            user: Arc::clone(&user),
            read_at,
            seen_ms: AtomicU64::new(0),
        };
        self.users.insert(user_id, Arc::new(known));
        if self.changes.load(Ordering::SeqCst) != before {
            self.users.invalidate(&user_id);
        }
        Ok(user)
    }

    /// Returns an account that the store cannot tell of; one that has changed since is not there.
    fn seen_lately(&self, user_id: UserId, error: &StoreError) -> Result<Arc<User>, ApiError> {
        let known = self.users.get(&user_id);
        let known = known.filter(|known| known.was_seen_lately());
        let known = known.ok_or_else(|| {
            log::warn!(error:%; "a token could not be judged");
            ApiError::unavailable("the database is unavailable")
        })?;
        Ok(Arc::clone(&known.user))
    }

    /// Ends a login: none of its tokens counts from now on.
    pub fn revoke_login(&self, login_id: LoginId, expires_at: Timestamp) {
        self.write_revoked(|revoked| revoked.insert(login_id, expires_at));
    }

    /// Ends all tokens of a user but those of the new generation and the kept one.
    pub fn revoke_tokens(&self, user_id: UserId, generation: u64, kept_token: TokenId) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        log::info!(user:% = user_id, generation = generation, kept:% = kept_token; "tokens revoked");
        self.users.invalidate(&user_id);
    }

    /// Returns whether any login was ended by a logout.
    #[must_use]
    pub fn has_revoked(&self) -> bool {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        !revoked.is_empty()
    }

    /// Returns whether a login was ended by a logout.
    #[must_use]
    pub fn is_revoked(&self, login_id: LoginId) -> bool {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
        revoked.contains_key(&login_id)
    }

    /// Forgets revocations of tokens that have run out by themselves.
    pub fn forget_expired(&self, now: Timestamp) {
        self.write_revoked(|revoked| revoked.retain(|_, expires_at| *expires_at > now));
    }

    fn write_revoked<R>(&self, change: impl FnOnce(&mut HashMap<LoginId, Timestamp>) -> R) {
        change(&mut self.revoked.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Returns the refusal of a token that does not count.
pub(crate) fn unauthenticated() -> ApiError {
    ApiError::with_detail(
        Code::Unauthenticated,
        "the token is missing, invalid, expired or revoked",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TokenState;

    /// An account that was read so many seconds ago, and seen last so many seconds ago.
    fn known(read: u64, seen: u64) -> Known {
        let user = User {
            id: UserId::random(),
            email: "a@example.com".into(),
            display_name: "A".into(),
            created_at: Timestamp::now(),
            tokens: TokenState::default(),
        };
        let read_ago = Duration::from_secs(read);
        Known {
            user: Arc::new(user),
            read_at: Instant::now().checked_sub(read_ago).expect("a while ago"),
            seen_ms: AtomicU64::new((read - seen) * 1_000),
        }
    }

    #[test]
    fn an_account_is_believed_half_a_minute_after_it_was_read_and_after_it_was_seen() {
        assert!(known(25, 25).see().is_some());
        assert!(known(35, 10).see().is_none(), "the store is asked");
        assert!(known(35, 10).was_seen_lately());
        assert!(known(55, 26).was_seen_lately());
        assert!(!known(45, 40).was_seen_lately());
        assert!(!known(35, 35).was_seen_lately());
    }

    #[test]
    fn who_asks_in_vain_is_not_seen() {
        let known = known(59, 40);
        assert!(known.see().is_none());
        assert!(!known.was_seen_lately());
    }
}
