//! TLS, in a build with the feature `tls` (docs/adr/0012). In another one the same names stand for
//! what cannot be: nothing can be read from a file, and a connection is TCP.

#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
mod built;
#[cfg(feature = "tls")]
#[path = "tls/present.rs"]
mod built;

pub use built::{
    Certificates, ClientTls, PostgresTls, PrivateKey, ServerTls, Transport, TransportReader,
    TransportWriter, certificates, is_distrust, pem, plain, postgres, private_key, split, valkey,
};

/// Whether this build has TLS.
pub const IS_BUILT_IN: bool = cfg!(feature = "tls");

/// Why certificates, or a key, are none.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("this build has no TLS: build with --features tls")]
    NotBuiltIn,
    #[error("{0}")]
    Unreadable(std::io::Error),
    #[error("there is none in it")]
    Empty,
    /// What is in it is not told: it may be a key.
    #[error("it is no PEM")]
    Malformed,
    #[error("is not usable: {0}")]
    Unusable(String),
    #[error("is the key of another certificate")]
    OtherKey,
    #[error("this system has no authorities: name a file of them")]
    NoAuthorities,
}
