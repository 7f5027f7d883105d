//! The token that a room is followed with: given, or signed here for each connection.

use std::path::PathBuf;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use super::super::signing::{Signer, Subject};
use crate::{
    config::{Settings, TokenConfig, keys, parse},
    ids::RoomId,
};

/// Where tokens come from.
pub(super) enum Credentials {
    Token(SecretString),
    Sign {
        data_dir: PathBuf,
        /// `None` for the owner of the room.
        subject: Option<Subject>,
        tokens: TokenConfig,
    },
}

impl Credentials {
    /// Reads where tokens come from; `None` says that a problem was noted.
    pub(super) fn read(settings: &mut Settings, as_user: Option<&str>) -> Option<Self> {
        if as_user.is_none()
            && let Some(token) = settings.read_optional(&keys::ROOMCAST_TOKEN, parse::password)?
        {
            return Some(Self::Token(token));
        }
        let subject = as_user.map(|text| settings.read_argument("--as", text, Subject::parse));
        let data_dir = settings.read(&keys::ROOMCAST_DATA_DIR, parse::path);
        let tokens = TokenConfig::read(settings, None);
        let subject = match subject {
            Some(read) => Some(read?),
            None => None,
        };
        Some(Self::Sign {
            data_dir: data_dir?,
            subject,
            tokens: tokens?,
        })
    }

    /// Returns a token for a room.
    pub(super) async fn token(&self, room_id: RoomId) -> anyhow::Result<String> {
        match self {
            Self::Token(token) => Ok(token.expose_secret().to_owned()),
            Self::Sign {
                data_dir,
                subject,
                tokens,
            } => {
                let signer = Signer::open(data_dir, tokens).await;
                let signer = signer.context(
                    "no token is given (--token, ROOMCAST_TOKEN), and none can be signed here",
                )?;
                let token = sign(&signer, subject.as_ref(), room_id, tokens).await;
                signer.close().await;
                token
            }
        }
    }
}

async fn sign(
    signer: &Signer,
    subject: Option<&Subject>,
    room_id: RoomId,
    config: &TokenConfig,
) -> anyhow::Result<String> {
    match subject {
        Some(subject) => signer.sign(subject, config.expires_in).await,
        None => {
            let owner = signer.owner(room_id).await?;
            signer.sign(&owner, config.expires_in).await
        }
    }
}
