//! Signs tokens with the secret of a data folder, beside the server that runs on it.

use std::{path::Path, time::Duration};

use anyhow::{Context, anyhow};

use crate::{
    auth::Tokens,
    config::{TokenConfig, parse::Invalid},
    data_dir::DataDir,
    ids::{LoginId, RoomId, UserId},
    store::{Role, Store, User},
};

/// Whom a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Id(UserId),
    /// Lower case, as accounts keep it.
    Email(String),
}

impl Subject {
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        match text.contains('@') {
            true => Ok(Self::Email(text.to_lowercase())),
            false => Err(Invalid::new(
                "must be an e-mail address or the id of a user",
            )),
        }
    }
}

/// The accounts of a data folder, and its secret.
pub(super) struct Signer {
    store: Store,
    tokens: Tokens,
    /// A server that was started otherwise refuses what lives longer.
    longest: Option<Duration>,
}

impl Signer {
    /// Opens a data folder for reading; another process may own it.
    pub(super) async fn open(folder: &Path, config: &TokenConfig) -> anyhow::Result<Self> {
        let view = DataDir::peek(folder)?;
        let secret = view.secret()?;
        let store = Store::attach_sqlite(&view.store()).await?;
        let tokens = Tokens::new(&secret, config);
        let longest = view.token_life();
        Ok(Self {
            store,
            tokens,
            longest,
        })
    }

    /// Returns how long a token may live for the server of the folder, where that is known.
    pub(super) fn longest(&self) -> Option<Duration> {
        self.longest
    }

    /// Signs a token for a user; it lives no longer than the server of the folder allows.
    pub(super) async fn sign(
        &self,
        subject: &Subject,
        expires_in: Duration,
    ) -> anyhow::Result<String> {
        let user = self.user(subject).await?;
        let expires_in = self.longest.map_or(expires_in, |most| most.min(expires_in));
        let issued = self.tokens.issue(&user, LoginId::random(), expires_in);
        Ok(issued.token)
    }

    async fn user(&self, subject: &Subject) -> anyhow::Result<User> {
        let (found, name) = match subject {
            Subject::Id(id) => (self.store.user(*id).await?, id.to_string()),
            Subject::Email(email) => (self.store.user_by_email(email).await?, email.clone()),
        };
        found.ok_or_else(|| {
            anyhow!(
                "no user `{name}` in this data folder: register first (POST /auth/register), or \
                 name the right folder with --data-dir"
            )
        })
    }

    /// Returns who owns a room, or, where nobody does, who has been in it longest.
    pub(super) async fn owner(&self, room_id: RoomId) -> anyhow::Result<Subject> {
        let members = self.store.members(room_id).await?;
        let owner = members.iter().find(|member| member.role == Role::Owner);
        let longest = || members.iter().min_by_key(|member| member.joined_at);
        let member = owner.or_else(longest);
        member
            .map(|member| Subject::Id(member.user_id))
            .with_context(|| format!("no room `{room_id}` with members in this data folder"))
    }

    /// Closes the database.
    pub(super) async fn close(self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_an_address_or_an_id() {
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let parsed = Subject::parse(&id.to_uppercase()).expect("an id");
        assert_eq!(parsed, Subject::Id(id.parse().expect("an id")));
        let parsed = Subject::parse("Ann@Example.com").expect("an address");
        assert_eq!(parsed, Subject::Email("ann@example.com".into()));
        assert!(Subject::parse("ann").is_err());
        assert!(Subject::parse("").is_err());
    }
}
