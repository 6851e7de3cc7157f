//! Random secrets: device tokens, pairing codes and ids, all from the kernel's generator.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// SHA-256 of a token; enough for a key of 256 random bits, and what the store keeps.
pub type TokenHash = [u8; 32];

/// Six decimal digits.
pub type Code = [u8; 6];

/// Every token begins so, so that it is found by scanners when it leaks.
const TOKEN_PREFIX: &str = "mgp_";

/// `mgp_` and 32 random bytes in base64url.
pub fn token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// `prefix` and 16 hex digits.
pub fn id(prefix: &str) -> Result<String, getrandom::Error> {
    Ok(format!("{prefix}{:016x}", getrandom::u64()?))
}

/// Each of the million codes with the same chance.
pub fn code() -> Result<Code, getrandom::Error> {
    const CODES: u32 = 1_000_000;
    // The last, incomplete million of u32 is thrown back, or low codes would come more often.
    const FAIR: u32 = u32::MAX - u32::MAX % CODES;
    loop {
        let number = getrandom::u32()?;
        if number < FAIR {
            return Ok(digits(number % CODES));
        }
    }
}

fn digits(mut number: u32) -> Code {
    let mut code = [b'0'; 6];
    for digit in code.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    code
}

/// Reads what a person typed: spaces and dashes between digits are fine, and so are the full-width
/// digits of a Chinese keyboard.
pub fn parse_code(text: &str) -> Option<Code> {
    let mut code = [0; 6];
    let mut count = 0;
    for letter in text.chars() {
        let digit = match letter {
            '0'..='9' => letter as u8,
            '０'..='９' => b'0' + (letter as u32 - '０' as u32) as u8,
            ' ' | '-' | '\u{3000}' => continue,
            _ => return None,
        };
        *code.get_mut(count)? = digit;
        count += 1;
    }
    (count == code.len()).then_some(code)
}

/// Takes the same time wherever the two differ.
pub fn same_code(a: &Code, b: &Code) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_random_bits_and_the_prefix() {
        let (a, b) = (token().expect("random"), token().expect("random"));
        assert_ne!(a, b);
        assert!(a.starts_with("mgp_"));
        let bytes = URL_SAFE_NO_PAD.decode(&a[4..]).expect("base64url");
        assert_eq!(bytes.len(), 32);
    }

    #[test]
    fn codes_are_six_digits_and_spread_evenly() {
        let mut first = [0; 10];
        for _ in 0..10_000 {
            let code = code().expect("random");
            assert!(code.iter().all(u8::is_ascii_digit));
            first[usize::from(code[0] - b'0')] += 1;
        }
        // 1,000 each; ten standard deviations are 300.
        assert!(
            first.iter().all(|count| (700..1_300).contains(count)),
            "{first:?}"
        );
        assert_eq!(&digits(42), b"000042");
        assert_eq!(&digits(999_999), b"999999");
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        for (text, code) in [
            ("123456", Some(b"123456")),
            (" 123-456 ", Some(b"123456")),
            ("１２３４５６", Some(b"123456")),
            ("12345", None),
            ("1234567", None),
            ("12345a", None),
            ("", None),
        ] {
            assert_eq!(parse_code(text).as_ref(), code, "{text:?}");
        }
        assert!(same_code(b"123456", b"123456"));
        assert!(!same_code(b"123456", b"123457"));
    }
}
