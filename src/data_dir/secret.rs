//! The secret that signs tokens: made once, whole or not at all, for the owner's eyes only.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use secrecy::SecretString;

use super::DataDirError;
use crate::config::parse::MIN_SECRET_BYTES;

/// Random bytes of a new secret; its text is twice as long.
const RANDOM_BYTES: usize = 48;

const MODE: u32 = 0o600;

/// Reads the secret, or makes it where there is none.
pub(super) fn open(path: &Path) -> Result<SecretString, DataDirError> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => tighten(path, &found.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|error| DataDirError::Secret {
                path: path.to_owned(),
                error,
            })?;
        }
        // Reading says what is wrong.
        Ok(_) | Err(_) => {}
    }
    read(path)
}

/// Reads the secret and checks it.
pub(super) fn read(path: &Path) -> Result<SecretString, DataDirError> {
    let text = fs::read_to_string(path).map_err(|error| DataDirError::Secret {
        path: path.to_owned(),
        error,
    })?;
    let secret = text.trim();
    if secret.len() < MIN_SECRET_BYTES {
        return Err(DataDirError::SecretTooShort {
            path: path.to_owned(),
        });
    }
    Ok(secret.into())
}

/// Takes from others what they should never have had.
fn tighten(path: &Path, found: &Permissions) {
    let mode = found.mode() & 0o777;
    if mode & !MODE == 0 {
        return;
    }
    let path_shown = path.display();
    match fs::set_permissions(path, Permissions::from_mode(MODE)) {
        Ok(()) => {
            log::warn!(file:% = path_shown; "the secret was open to others (mode {mode:o}): it is not any more");
        }
        Err(error) => {
            log::warn!(file:% = path_shown, error:%; "the secret is open to others (mode {mode:o}): remove their permissions");
        }
    }
}

/// Writes a new secret beside its place and moves it there, so that no crash leaves half of one.
fn make(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let permissions = Permissions::from_mode(MODE);
    let mut file = tempfile::Builder::new()
        .prefix(".jwt.secret-")
        .permissions(permissions)
        .tempfile_in(folder)?;
    writeln!(file, "{}", random_text()?)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    File::open(folder)?.sync_all()
}

fn random_text() -> io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_secret_is_made_once() {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("jwt.secret");
        let first = open(&path).expect("made");
        assert_eq!(first.expose_secret().len(), 2 * RANDOM_BYTES);
        let second = open(&path).expect("read");
        assert_eq!(first.expose_secret(), second.expose_secret());
        let left = fs::read_dir(folder.path()).expect("readable").count();
        assert_eq!(left, 1, "nothing else is left");
    }

    #[test]
    fn two_secrets_differ() {
        let text = || random_text().expect("random bytes");
        assert_ne!(text(), text());
    }

    #[test]
    fn a_damaged_secret_is_refused_and_not_replaced() {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("jwt.secret");
        for damaged in ["", "\n", "0123456789abcdef0123456789abcde\n"] {
            fs::write(&path, damaged).expect("writable");
            let error = open(&path).expect_err("too short").to_string();
            assert!(error.contains("is damaged"), "{error}");
            assert_eq!(fs::read_to_string(&path).expect("readable"), damaged);
        }
        fs::write(&path, [0xff; 40]).expect("writable");
        let error = open(&path).expect_err("no text").to_string();
        assert!(
            error.contains("it is not text; put the right one back"),
            "{error}"
        );
        fs::remove_file(&path).expect("ours");
        fs::create_dir(&path).expect("ours");
        let error = open(&path).expect_err("no file").to_string();
        assert!(error.contains("it is a folder, not a file"), "{error}");
    }

    #[test]
    fn permissions_of_others_are_taken_away() {
        let folder = TempDir::new().expect("a temporary folder");
        let path = folder.path().join("jwt.secret");
        open(&path).expect("made");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("ours");
        open(&path).expect("read");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
