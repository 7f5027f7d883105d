//! The configuration after it was checked: one struct a concern.
//!
//! [`keys`] is the table of all settings. [`Settings`] finds each value (a flag beats the
//! environment, that beats `.env`, that beats the default) and collects every problem, so that
//! people hear of all of them at once and nothing is opened before.

mod environment;
mod gateway;
pub mod keys;
mod logs;
pub mod parse;
mod serve;
mod settings;
mod tls;

use std::path::PathBuf;

pub use environment::Environment;
pub use gateway::{GatewayConfig, HttpConfig, LimitConfig, Rate, TokenConfig};
pub use logs::{LogConfig, LogFormat};
pub use serve::{DatabaseConfig, KafkaConfig, RedisConfig, Role, ServeConfig, ServeGateway};
pub use settings::{ConfigError, Mode, Problem, Settings, Source, Value};
pub use tls::{KafkaProtocol, KafkaSecurity, Sasl};

/// Everything that `dev` runs with.
#[derive(Debug, Clone)]
pub struct DevConfig {
    /// Where the embedded database, log and secret lie; `None` for a temporary folder.
    pub data_dir: Option<PathBuf>,
    pub gateway: GatewayConfig,
    pub logs: LogConfig,
}

impl DevConfig {
    /// Reads what `dev` runs with; what belongs to the real services is not looked at.
    ///
    /// # Errors
    /// Every problem.
    pub fn load(mut settings: Settings, is_ephemeral: bool) -> Result<Self, ConfigError> {
        let data_dir = settings.read(&keys::ROOMCAST_DATA_DIR, parse::path);
        let gateway = GatewayConfig::read(&mut settings, None);
        let logs = LogConfig::read(&mut settings);
        let config = (|| {
            Some(Self {
                data_dir: data_dir.filter(|_| !is_ephemeral),
                gateway: gateway?,
                logs: logs?,
            })
        })();
        settings.finish(config)
    }
}
