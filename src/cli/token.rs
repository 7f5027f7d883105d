//! `roomcast token`: a signed token for a user, for scripts.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;

use super::{
    failure::{Failure, print_line},
    flags::{Flags, ForToken},
    logging,
    signing::{Signer, Subject},
};
use crate::config::{ConfigError, LogConfig, Settings, TokenConfig, keys, parse};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Whose token: an e-mail address or the id of a user
    #[arg(value_name = "EMAIL|USER_ID")]
    subject: String,
    /// Life of the token: `30s`, `15m`, `12h`, `1d` or seconds; at most, and usually, JWT_EXPIRES_IN
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    expires_in: Option<String>,
    #[command(flatten)]
    flags: Flags<ForToken>,
}

struct TokenOptions {
    subject: Subject,
    /// `--expires-in`.
    expires_in: Option<Duration>,
    data_dir: PathBuf,
    tokens: TokenConfig,
    logs: LogConfig,
}

pub(super) fn run(args: TokenArgs) -> Result<(), Failure> {
    let options = TokenOptions::load(args)?;
    logging::start(&options.logs);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let token = runtime.block_on(sign(&options))?;
    print_line(&token)
}

async fn sign(options: &TokenOptions) -> Result<String, Failure> {
    let signer = Signer::open(&options.data_dir, &options.tokens).await?;
    let wanted = options.expires_in.unwrap_or(options.tokens.expires_in);
    let token = match signer.longest() {
        Some(most) if options.expires_in.is_some() && wanted > most => Err(too_long(most)),
        _ => signer
            .sign(&options.subject, wanted)
            .await
            .map_err(Into::into),
    };
    signer.close().await;
    token
}

fn too_long(most: Duration) -> Failure {
    let most = most.as_secs();
    Failure::Setting(format!(
        "--expires-in must be at most {most} s: the server of this data folder refuses a token that lives longer (its JWT_EXPIRES_IN)"
    ))
}

impl TokenOptions {
    fn load(args: TokenArgs) -> Result<Self, ConfigError> {
        let mut settings = args.flags.settings();
        let options = Self::read(&mut settings, &args.subject, args.expires_in.as_deref());
        settings.finish(options)
    }

    fn read(settings: &mut Settings, subject: &str, expires_in: Option<&str>) -> Option<Self> {
        let subject = settings.read_argument("EMAIL|USER_ID", subject, Subject::parse);
        let data_dir = settings.read(&keys::ROOMCAST_DATA_DIR, parse::path);
        let logs = LogConfig::read(settings);
        let tokens = TokenConfig::read(settings, None);
        let expires_in = match expires_in {
            Some(text) => {
                let read = settings.read_argument("--expires-in", text, parse::expires_in);
                read.map(Some)
            }
            None => Some(None),
        };
        let (tokens, expires_in) = (tokens?, expires_in?);
        if expires_in > Some(tokens.expires_in) {
            let most = tokens.expires_in.as_secs();
            let why = format!(
                "must be at most JWT_EXPIRES_IN ({most} s): servers refuse a token that lives longer"
            );
            settings.note("--expires-in", why);
        }
        Some(Self {
            subject: subject?,
            expires_in,
            data_dir: data_dir?,
            tokens,
            logs: logs?,
        })
    }
}
