//! Tokens: JWT-shaped, signed with EdDSA, without an end of life.
//!
//! Clients split a token at its dots and decode the middle with a plain base64 decoder, so no
//! claim may hold a letter that base64url writes as `-` or `_`. All claims are ASCII letters,
//! digits and dashes, which cannot.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::limits;

const HEADER: &str = r#"{"alg":"EdDSA"}"#;
const ISSUER: &str = "handy";

/// Signs and verifies. `None` inside: the seed was unusable, which 32 bytes never are.
pub struct Tokens(Option<Ed25519KeyPair>);

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Claims {
    /// The account.
    pub sub: String,
    /// Seconds.
    iat: i64,
    nbf: i64,
    iss: String,
    /// The device.
    pub jti: String,
    /// The pairing request by which a terminal came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

impl Tokens {
    pub fn new(seed: &[u8; 32]) -> Tokens {
        Tokens(Ed25519KeyPair::from_seed_unchecked(seed).ok())
    }

    /// For a device, which is a UUID. `None`: the seed was unusable.
    pub fn issue(
        &self,
        account: &str,
        device: &str,
        session: Option<&str>,
        now: UnixMillis,
    ) -> Option<String> {
        let seconds = now.0.div_euclid(1_000);
        let claims = Claims {
            sub: account.to_owned(),
            iat: seconds,
            // A box without a clock battery may be told an earlier time after a restart, and its
            // own tokens have to hold then too.
            nbf: 0,
            iss: ISSUER.to_owned(),
            jti: device.to_owned(),
            session: session.map(str::to_owned),
        };
        let payload = serde_json::to_vec(&claims).ok()?;
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(HEADER),
            URL_SAFE_NO_PAD.encode(payload)
        );
        let signature = self.0.as_ref()?.sign(signed.as_bytes());
        Some(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(signature.as_ref())
        ))
    }

    pub fn verify(&self, token: &str) -> Option<Claims> {
        if token.len() > limits::HAPPY_TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = self.0.as_ref()?.public_key();
        verify_signature(key.as_ref(), signed.as_bytes(), &signature)?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        (claims.iss == ISSUER).then_some(claims)
    }
}

/// Whether `signature` is the detached Ed25519 signature of `message`.
pub fn verify_signature(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    UnparsedPublicKey::new(&ED25519, key)
        .verify(message, signature)
        .ok()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use proptest::prelude::*;

    use super::super::id;
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_205_421_573);

    fn issue(tokens: &Tokens, session: Option<&str>) -> String {
        let account = id::new(NOW).expect("random");
        let device = id::uuid().expect("random");
        tokens
            .issue(&account, &device, session, NOW)
            .expect("a key")
    }

    #[test]
    fn a_token_outlives_the_process_and_is_no_good_on_another_box() {
        let token = issue(&Tokens::new(&[7; 32]), Some("c1"));
        let claims = Tokens::new(&[7; 32]).verify(&token).expect("the same key");
        assert_eq!(claims.session.as_deref(), Some("c1"));
        assert_eq!(Tokens::new(&[8; 32]).verify(&token), None);
    }

    #[test]
    fn the_app_reads_the_account_with_a_plain_base64_decoder() {
        let tokens = Tokens::new(&[7; 32]);
        for _ in 0..200 {
            let token = issue(&tokens, None);
            let parts: Vec<&str> = token.split('.').collect();
            assert_eq!(parts.len(), 3);
            let payload = STANDARD_NO_PAD.decode(parts[1]).expect("no - and no _");
            let claims: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
            assert_eq!(claims["sub"].as_str().map(str::len), Some(25));
            assert_eq!(claims["iss"], "handy");
            assert!(claims.get("session").is_none());
        }
    }

    #[test]
    fn a_changed_token_is_refused_at_every_letter() {
        let tokens = Tokens::new(&[7; 32]);
        let token = issue(&tokens, None);
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(tokens.verify(&changed), None, "letter {index}");
        }
    }

    proptest! {
        #[test]
        fn nothing_made_up_is_a_token(text in ".{0,200}") {
            prop_assert_eq!(Tokens::new(&[7; 32]).verify(&text), None);
        }
    }
}
