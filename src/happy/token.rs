//! Tokens: JWT-shaped, signed with EdDSA, without an end of life.
//!
//! Clients split a token at its dots and decode the middle with a plain base64 decoder, so no
//! claim may hold a letter that base64url writes as `-` or `_`. All claims are ASCII letters,
//! digits and dashes, which cannot.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::limits;

const HEADER: &str = r#"{"alg":"EdDSA"}"#;
const ISSUER: &str = "handy";

/// Signs and verifies.
pub struct Tokens(SigningKey);

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
        Tokens(SigningKey::from_bytes(seed))
    }

    /// For a device, which is a UUID.
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
        let signature = self.0.sign(signed.as_bytes());
        Some(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(signature.to_bytes())
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
        let key = self.0.verifying_key();
        verify_signature(key.as_bytes(), signed.as_bytes(), &signature)?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        (claims.iss == ISSUER).then_some(claims)
    }
}

/// Whether `signature` is the detached Ed25519 signature of `message`.
///
/// Accepts what the original server's TweetNaCl does, keys of small order among it: such a key
/// opens the account of that key alone. One thing is stricter, as RFC 8032 asks: a second form of
/// a signature (S not below the group's order), which no client makes, is none.
pub fn verify_signature(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    let signature = Signature::from_slice(signature).ok()?;
    key.verify(message, &signature).ok()
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

    /// Signed by ring, as the releases before did, with the seed 0, 1, … 31.
    const EARLIER: &str = concat!(
        "eyJhbGciOiJFZERTQSJ9.",
        "eyJzdWIiOiJjMG1paXE3aGJ4MDAwMGFiY2RlZmdoaWprIiwiaWF0IjoxNzk1MjA1NDIxLCJuYmYiOjAsImlzcyI6",
        "ImhhbmR5IiwianRpIjoiN2QxZTRkMmEtNThhNC00YzJlLTliNWUtMGE0YTFjOWYzYjExIn0.",
        "vnf1yh23wWm37yqFaGLvXfppQDr8cb57bQmpudm6vQ9kixBbYPVvYB-lz9-El6Wd7xEGLijws-VW6aMKERZmAw"
    );

    #[test]
    fn a_token_that_an_earlier_release_signed_holds_and_is_signed_the_same_today() {
        let tokens = Tokens::new(&std::array::from_fn(|index| index as u8));
        let claims = tokens.verify(EARLIER).expect("ring's own signature");
        assert_eq!(claims.sub, "c0miiq7hbx0000abcdefghijk");
        let now = UnixMillis(claims.iat * 1_000);
        let again = tokens.issue(&claims.sub, &claims.jti, None, now);
        assert_eq!(again.as_deref(), Some(EARLIER));
    }

    /// What TweetNaCl, which the original server asks, says of the same: yes, yes and, against the
    /// RFC, yes to the last as well.
    #[test]
    fn a_challenge_is_verified_as_the_original_does_but_for_a_second_form_of_a_signature() {
        let key = bytes("ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
        let r = "277dfc79618f64a2d40d40ea65f006e54612787219e89ae39874906973357f18";
        let s = "88d90a5d3efa58ac97f81f4c27de130726f909a22c070c469172984bc686a20a";
        let s_and_order = "75ad00ba585d6b046e9517ef05d8f21b26f909a22c070c469172984bc686a21a";
        let is_signed = |key: &[u8], signature: &str| {
            verify_signature(key, b"magpie", &bytes(signature)).is_some()
        };
        assert!(is_signed(&key, &format!("{r}{s}")));
        assert!(!is_signed(&key, &format!("{r}{s_and_order}")));
        assert!(!is_signed(&key, &format!("{s}{r}")));
        assert!(!is_signed(&key, r));
        assert!(!is_signed(&key[1..], &format!("{r}{s}")));

        let neutral = format!("01{}", "00".repeat(31));
        let anything = format!("{neutral}{}", "00".repeat(32));
        assert!(is_signed(&bytes(&neutral), &anything));
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16))
            .collect::<Result<_, _>>()
            .expect("hexadecimal digits")
    }

    proptest! {
        #[test]
        fn nothing_made_up_is_a_token(text in ".{0,200}") {
            prop_assert_eq!(Tokens::new(&[7; 32]).verify(&text), None);
        }
    }
}
