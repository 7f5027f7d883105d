//! TLS: the listener, and the three services behind it; in a build with the feature `tls`.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod hostile;
#[cfg(feature = "tls")]
mod listener;
#[cfg(feature = "tls")]
mod services;
