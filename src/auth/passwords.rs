//! Passwords: bcrypt, on a bounded pool, so that a flood of logins leaves the chat alone.

use std::{io, sync::Arc, time::Duration};

use rustix::process::nice;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

use super::MAX_WAITING;
use crate::error::ApiError;

/// Longest password that bcrypt tells from a longer one, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 71;

/// How long somebody waits for a turn.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How much nicer who hashes is: where others want the processor, it gets a tenth of what they do.
const NICENESS: i32 = 10;

/// Hashes and verifies passwords, at most half the machine's cores at a time.
#[derive(Debug, Clone)]
pub struct Passwords {
    cost: u32,
    threads: Arc<Threads>,
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Passwords {
    /// Makes a pool that hashes at `cost`.
    ///
    /// # Errors
    /// When the system has no place for another runtime.
    pub fn new(cost: u32) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = (cores / 2).max(1);
        Ok(Self {
            cost,
            threads: Arc::new(Threads::new(at_once)?),
            turns: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        })
    }

    /// Hashes a password of at most [`MAX_PASSWORD_BYTES`].
    ///
    /// # Errors
    /// `UNAVAILABLE` when too many wait.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        let cost = self.cost;
        let hashed = self.in_turn(move || bcrypt::non_truncating_hash(password, cost));
        hashed.await?.map_err(|error| {
            log::error!(error:%; "a password was not hashed");
            ApiError::new(crate::error::Code::Internal)
        })
    }

    /// Returns whether a password is the one that was hashed.
    ///
    /// # Errors
    /// `UNAVAILABLE` when too many wait.
    pub async fn verify(&self, password: String, hash: String) -> Result<bool, ApiError> {
        // bcrypt repeats a password up to 72 bytes with a U+0000 between, and cuts a longer one.
        let is_possible = password.len() <= MAX_PASSWORD_BYTES && !password.contains('\0');
        let verified = self
            .in_turn(move || bcrypt::verify(password, &hash))
            .await?;
        Ok(is_possible && verified.unwrap_or(false))
    }

    /// Takes as long as [`Self::verify`] where there is no account, and is always wrong.
    ///
    /// # Errors
    /// `UNAVAILABLE` when too many wait.
    pub async fn verify_nobody(&self, password: String) -> Result<bool, ApiError> {
        let salt_and_hash = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        let nobody = format!("$2b${:02}${salt_and_hash}", self.cost);
        self.verify(password, nobody).await.map(|_| false)
    }

    async fn in_turn<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, ApiError> {
        let too_many = || ApiError::unavailable("too many logins at once");
        let _place = self.waiting.try_acquire().map_err(|_| too_many())?;
        let turn = timeout(MAX_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| too_many())?.map_err(|_| too_many())?;
        let done = self.threads.run(move || {
            // Held until the work ends, also when the caller has gone.
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| too_many())
    }
}

/// Threads of their own, which leave the processor to whoever else wants it.
#[derive(Debug)]
struct Threads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Threads {
    fn new(most: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(most)
            .thread_name("passwords")
            .on_thread_start(be_nice)
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
        self.handle.spawn_blocking(work)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nobody waits for what is under way.
            runtime.shutdown_background();
        }
    }
}

/// Of the calling thread alone.
fn be_nice() {
    if let Err(error) = nice(NICENESS) {
        log::debug!(error:%; "passwords are hashed at the usual priority");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[actix_web::test]
    async fn only_the_password_itself_is_right() {
        let passwords = Passwords::new(4).expect("a runtime");
        let longest = "x".repeat(MAX_PASSWORD_BYTES);
        let hash = passwords.hash(longest.clone()).await.expect("room");
        let check = async |password: String, expected: bool| {
            let verified = passwords.verify(password, hash.clone()).await;
            assert_eq!(verified, Ok(expected));
        };
        check(longest.clone(), true).await;
        check(format!("{longest}x"), false).await;
        check(format!("{longest}\0"), false).await;
        check(String::new(), false).await;
        let short = passwords.hash("abcdefgh".into()).await.expect("room");
        let repeated = passwords.verify("abcdefgh\0abcdefgh".into(), short).await;
        assert_eq!(repeated, Ok(false));
    }

    #[actix_web::test]
    async fn others_go_before_who_hashes() {
        let threads = Threads::new(1).expect("a runtime");
        let hashing = threads.run(|| getpriority_process(None)).await;
        let ours = getpriority_process(None).expect("it is known");
        assert_eq!(hashing.expect("it ends"), Ok((ours + NICENESS).min(19)));
    }

    #[actix_web::test]
    async fn nobody_costs_as_much_as_somebody_and_is_wrong() {
        let passwords = Passwords::new(4).expect("a runtime");
        assert_eq!(passwords.verify_nobody("password".into()).await, Ok(false));
        let parsed: Result<bcrypt::HashParts, _> =
            "$2b$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".parse();
        assert_eq!(parsed.expect("bcrypt reads it").get_cost(), 4);
    }
}
