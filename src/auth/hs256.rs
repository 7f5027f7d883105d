//! The one algorithm that tokens are signed with, for `jsonwebtoken`: HMAC of SHA-256, by RustCrypto.
//!
//! The library's own choices bring RSA and elliptic curves along: a C library that takes longer to
//! compile than nearly all else, or `rsa` with an advisory that has no fix. No other algorithm is
//! here, so that a token that names one finds nobody to check it (docs/adr/0014).

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature::{self, Signer, Verifier},
};
use sha2::Sha256;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // For keys inside of headers, which are refused before.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has tokens of this process signed and checked here; a second call does nothing.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, secret: &[u8]) -> Result<Self, Error> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        let keyed = Hmac::new_from_slice(secret);
        keyed
            .map(Self)
            .map_err(|_| ErrorKind::InvalidKeyFormat.into())
    }

    fn over(&self, message: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(message)
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Ok(Box::new(Hs256::new(*algorithm, key.as_bytes())?))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let secret = key.try_get_as_bytes()?;
    Ok(Box::new(Hs256::new(*algorithm, secret)?))
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.over(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// In a time that does not depend on the signature.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let checked = self.over(message).verify_slice(signature);
        checked.map_err(signature::Error::from_source)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_the_standard_does() {
        install();
        // The example of RFC 7515, appendix A.1.
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let signing = EncodingKey::from_base64_secret(&standard(key)).expect("base64");
        let accepted = DecodingKey::from_base64_secret(&standard(key)).expect("base64");
        let signed =
            |algorithm| jsonwebtoken::crypto::sign(message.as_bytes(), &signing, algorithm).ok();
        let verified = |signature, message: &str, algorithm| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &accepted, algorithm).ok()
        };
        assert_eq!(signed(Algorithm::HS256).as_deref(), Some(signature));
        assert_eq!(verified(signature, message, Algorithm::HS256), Some(true));
        assert_eq!(
            verified(signature, &message[1..], Algorithm::HS256),
            Some(false)
        );
        let forged = signature.replacen('d', "e", 1);
        assert_eq!(verified(&forged, message, Algorithm::HS256), Some(false));
        assert_eq!(verified("", message, Algorithm::HS256), Some(false));
        for other in [Algorithm::HS384, Algorithm::RS256, Algorithm::ES256] {
            assert_eq!(signed(other), None);
            assert_eq!(verified(signature, message, other), None);
        }
    }

    fn standard(url_safe: &str) -> String {
        let padding = "=".repeat((4 - url_safe.len() % 4) % 4);
        url_safe.replace('-', "+").replace('_', "/") + &padding
    }
}
