//! The data folder of `dev`: who owns it, and the names of what lies in it.
//!
//! One process owns a folder at a time: it holds an exclusive lock on a file in it, which the
//! kernel releases when the process ends, however it ends. [`DataView`] reads beside the owner.

mod secret;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use secrecy::SecretString;
use tempfile::TempDir;

use crate::config::parse::MIN_SECRET_BYTES;

const LOCK_FILE: &str = "roomcast.lock";
const STORE_FILE: &str = "roomcast.sqlite3";
const SECRET_FILE: &str = "jwt.secret";

/// Nobody else on the machine reads messages and secret.
const FOLDER_MODE: u32 = 0o700;
const LOCK_MODE: u32 = 0o600;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "cannot use the data folder `{}`: {}; choose another with --data-dir",
        path.display(),
        in_words(error)
    )]
    Unusable { path: PathBuf, error: io::Error },
    #[error(
        "the data folder `{}` is in use by another process{}; stop that one, or choose another folder with --data-dir",
        path.display(),
        pid.map(|pid| format!(" ({pid})")).unwrap_or_default()
    )]
    InUse { path: PathBuf, pid: Option<u32> },
    #[error(
        "there is no data of roomcast in `{}`: start `roomcast` there once, or name its folder with --data-dir",
        path.display()
    )]
    NoData { path: PathBuf },
    #[error(
        "cannot make a temporary folder in `{}`: {}; choose another place with TMPDIR",
        path.display(),
        in_words(error)
    )]
    NoTemporary { path: PathBuf, error: io::Error },
    #[error(
        "the secret `{}` cannot be read or made: {}; put the right one back, or move it away to \
         get a new one, and everybody has to log in again",
        path.display(),
        in_words(error)
    )]
    Secret { path: PathBuf, error: io::Error },
    #[error(
        "the secret `{}` is damaged (shorter than {} bytes): remove it to get a new one, and everybody has to log in again",
        path.display(),
        MIN_SECRET_BYTES
    )]
    SecretTooShort { path: PathBuf },
}

/// Says what the system says of a file, for whoever has to put it right.
#[must_use]
pub fn in_words(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            "it, or what it lies in, is a file or a link that leads nowhere, not a folder"
        }
        io::ErrorKind::IsADirectory => "it is a folder, not a file",
        io::ErrorKind::InvalidData => "it is not text",
        io::ErrorKind::PermissionDenied => "this user may not read and write there",
        io::ErrorKind::ReadOnlyFilesystem => "the disk takes no writes (it is mounted read-only)",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full",
        _ => return error.to_string(),
    };
    words.to_owned()
}

/// A data folder that this process owns for as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: Arc<File>,
    /// Removed with everything in it when the value is dropped.
    temporary: Option<TempDir>,
}

impl DataDir {
    /// Takes a folder for this process; makes it (mode 0700) where there is none.
    ///
    /// # Errors
    /// When it cannot be written, or another process has it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |error| DataDirError::Unusable {
            path: path.to_owned(),
            error,
        };
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(FOLDER_MODE).create(path);
        made.map_err(unusable)?;
        let path = fs::canonicalize(path).map_err(unusable)?;
        let lock = lock(&path)?;
        Ok(Self {
            path,
            lock: Arc::new(lock),
            temporary: None,
        })
    }

    /// Makes a temporary folder, removed when the value is dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn ephemeral() -> Result<Self, DataDirError> {
        let made = tempfile::Builder::new().prefix("roomcast-").tempdir();
        let temporary = made.map_err(|error| DataDirError::NoTemporary {
            path: std::env::temp_dir(),
            error,
        })?;
        let owned = Self::open(temporary.path())?;
        Ok(Self {
            temporary: Some(temporary),
            ..owned
        })
    }

    /// Looks into a folder that another process may own; takes and makes nothing.
    ///
    /// # Errors
    /// When there is no data of ours in it, or it is closed to this user.
    pub fn peek(path: &Path) -> Result<DataView, DataDirError> {
        let view = DataView {
            path: path.to_owned(),
        };
        for file in [view.store(), view.path.join(SECRET_FILE)] {
            fs::metadata(file).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => DataDirError::NoData {
                    path: path.to_owned(),
                },
                _ => DataDirError::Unusable {
                    path: path.to_owned(),
                    error,
                },
            })?;
        }
        Ok(view)
    }

    /// Returns the folder, as an absolute path. The log keeps its files in it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the folder goes when the value is dropped.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Returns what keeps others out of the folder for as long as it lives, or the value does.
    #[must_use]
    pub fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// Returns the path of the database.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path.join(STORE_FILE)
    }

    /// Notes how long a token may live for the process that owns the folder: who signs one beside
    /// it has settings of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_token_life(&self, life: Duration) -> Result<(), DataDirError> {
        // Behind the process id, which was written when the folder was taken.
        let noted = writeln!(&*self.lock, "{}", life.as_secs());
        noted.map_err(|error| DataDirError::Unusable {
            path: self.path.clone(),
            error,
        })
    }

    /// Returns the path of the secret.
    #[must_use]
    pub fn secret_path(&self) -> PathBuf {
        self.path.join(SECRET_FILE)
    }

    /// Returns the secret that signs tokens; the first call in a folder makes it (mode 0600).
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or cannot be made.
    pub fn secret(&self) -> Result<SecretString, DataDirError> {
        secret::open(&self.secret_path())
    }
}

/// A data folder that another process may own: to be read only.
#[derive(Debug)]
pub struct DataView {
    path: PathBuf,
}

impl DataView {
    /// Returns the path of the database.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path.join(STORE_FILE)
    }

    /// Returns how long a token may live for the process that owns the folder, or was the last to;
    /// `None` where that was not noted.
    #[must_use]
    pub fn token_life(&self) -> Option<Duration> {
        let noted = fs::read_to_string(self.path.join(LOCK_FILE)).ok()?;
        let seconds = noted.lines().nth(1)?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// Returns the secret that signs tokens.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn secret(&self) -> Result<SecretString, DataDirError> {
        secret::read(&self.path.join(SECRET_FILE))
    }
}

/// Locks a folder until the file is dropped; notes this process in it, for people.
fn lock(folder: &Path) -> Result<File, DataDirError> {
    let path = folder.join(LOCK_FILE);
    let unusable = |error| DataDirError::Unusable {
        path: folder.to_owned(),
        error,
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.mode(LOCK_MODE).open(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = fs::read_to_string(&path).unwrap_or_default();
            return Err(DataDirError::InUse {
                path: folder.to_owned(),
                pid: owner.lines().next().and_then(|pid| pid.parse().ok()),
            });
        }
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    let noted = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(unusable)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, thread, time::Instant};

    use secrecy::ExposeSecret;

    use super::*;

    fn mode(path: &Path) -> u32 {
        let metadata = fs::metadata(path).expect("it exists");
        metadata.permissions().mode() & 0o777
    }

    /// Takes a folder whose owner has let go of it. A process that another test starts has the lock,
    /// too, for a moment: until it executes its program.
    fn open_again(path: &Path) -> DataDir {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match DataDir::open(path) {
                Err(DataDirError::InUse { .. }) if Instant::now() < until => {
                    thread::sleep(Duration::from_millis(10));
                }
                opened => return opened.expect("free again"),
            }
        }
    }

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let parent = TempDir::new().expect("a temporary folder");
        let path = parent.path().join("a/b");
        let owner = DataDir::open(&path).expect("free");
        let refused = DataDir::open(&path).expect_err("taken").to_string();
        assert!(refused.contains("in use by another process"), "{refused}");
        let pid = std::process::id().to_string();
        assert!(refused.contains(&pid), "{refused}");
        owner
            .note_token_life(Duration::from_secs(90))
            .expect("writable");
        let refused = DataDir::open(&path).expect_err("taken").to_string();
        assert!(refused.contains(&pid), "{refused}");
        drop(owner);
        open_again(&path);
    }

    #[test]
    fn only_the_owner_reads_what_is_made() {
        let parent = TempDir::new().expect("a temporary folder");
        let path = parent.path().join("data");
        let dir = DataDir::open(&path).expect("free");
        dir.secret().expect("made");
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&dir.secret_path()), 0o600);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let parent = TempDir::new().expect("a temporary folder");
        let file = parent.path().join("file");
        fs::write(&file, "").expect("writable");
        for path in [file.clone(), file.join("below")] {
            let error = DataDir::open(&path).expect_err("no folder").to_string();
            assert!(error.contains(&*path.to_string_lossy()), "{error}");
            assert!(error.contains("--data-dir"), "{error}");
            assert!(error.contains("not a folder"), "{error}");
        }
        let link = parent.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("writable");
        let error = DataDir::open(&link).expect_err("no folder").to_string();
        assert!(error.contains("a link that leads nowhere"), "{error}");
    }

    #[test]
    fn an_ephemeral_folder_leaves_nothing_behind() {
        let dir = DataDir::ephemeral().expect("made");
        let path = dir.path().to_owned();
        dir.secret().expect("made");
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn a_view_makes_nothing_and_sees_the_owner_s_secret() {
        let parent = TempDir::new().expect("a temporary folder");
        let path = parent.path().join("data");
        let absent = DataDir::peek(&path).expect_err("no data").to_string();
        assert!(absent.contains("no data of roomcast"), "{absent}");
        assert!(!path.exists());
        let file = parent.path().join("file");
        fs::write(&file, "").expect("writable");
        let closed = DataDir::peek(&file).expect_err("no folder").to_string();
        assert!(closed.contains("cannot use"), "{closed}");
        let owner = DataDir::open(&path).expect("free");
        let secret = owner.secret().expect("made");
        fs::write(owner.store(), "").expect("writable");
        let seen = DataDir::peek(&path).expect("data").secret().expect("there");
        assert_eq!(seen.expose_secret(), secret.expose_secret());
        let noted = || DataDir::peek(&path).expect("data").token_life();
        assert_eq!(noted(), None);
        owner
            .note_token_life(Duration::from_secs(90))
            .expect("writable");
        assert_eq!(noted(), Some(Duration::from_secs(90)));
        drop(owner);
        assert_eq!(noted(), Some(Duration::from_secs(90)), "of the last owner");
        let _owner = open_again(&path);
        assert_eq!(noted(), None, "of nobody's before");
    }
}
