//! Secrets by their pattern: card numbers, passwords, keys, tokens, in English and Chinese.
//!
//! What a person asks to remember is kept word for word. What the box would file by itself, or
//! send to a model or an embedding service for filing, must not hold any of these. In doubt a
//! text counts as one: the price is a note that is not filed by itself.

use super::index::{is_cjk, plain_width};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A payment card, by its check digit; spoken digits count.
    Card,
    /// A Chinese identity number, by its check digit.
    Identity,
    /// Something said to be a password, code or key.
    Password,
    /// The form of a key or token of a known service, or text that looks random.
    Key,
}

/// The first secret in a text.
pub fn secret_in(text: &str) -> Option<Secret> {
    let text: String = text.chars().map(plain_width).collect();
    let lower = text.to_lowercase();
    number(&lower)
        .or_else(|| key(&text).then_some(Secret::Key))
        .or_else(|| password(&lower).then_some(Secret::Password))
}

const CARD_DIGITS_MIN: usize = 13;
const CARD_DIGITS_MAX: usize = 19;

/// Runs of digits, said or written, with nothing but blanks and dashes between them.
fn number(lower: &str) -> Option<Secret> {
    let mut run = String::new();
    let mut found = None;
    let mut judge = |run: &mut String| {
        if found.is_none() {
            found = judged(run);
        }
        run.clear();
    };
    for token in tokens(lower) {
        match token {
            Token::Digit(digit) => run.push(digit),
            Token::Between => {}
            Token::Other => judge(&mut run),
        }
    }
    judge(&mut run);
    found
}

/// A card or identity number anywhere in a run of digits.
fn judged(run: &str) -> Option<Secret> {
    let digits: Vec<u32> = run.chars().map(|c| c.to_digit(10).unwrap_or(10)).collect();
    for start in 0..digits.len() {
        for length in CARD_DIGITS_MIN..=CARD_DIGITS_MAX {
            let Some(part) = digits.get(start..start + length) else {
                break;
            };
            let varies = part.iter().any(|digit| *digit != part[0]);
            // Cards begin with 2 to 6; a telephone number or a date does not get this long.
            if (2..=6).contains(&part[0]) && varies && is_luhn(part) {
                return Some(Secret::Card);
            }
            if length == 18 && is_identity(part) {
                return Some(Secret::Identity);
            }
        }
    }
    None
}

fn is_luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, *digit) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => 2 * digit - 9,
            (_, digit) => 2 * digit,
        })
        .sum();
    digits.iter().all(|digit| *digit < 10) && sum.is_multiple_of(10)
}

/// GB 11643: seventeen digits and a check digit, which may be X (10 here).
fn is_identity(digits: &[u32]) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: [u32; 11] = [1, 0, 10, 9, 8, 7, 6, 5, 4, 3, 2];
    let (Some(body), Some(check)) = (digits.get(..17), digits.get(17)) else {
        return false;
    };
    let year = body[6] * 1_000 + body[7] * 100 + body[8] * 10 + body[9];
    let sum: u32 = body
        .iter()
        .zip(WEIGHTS)
        .map(|(digit, weight)| digit * weight)
        .sum();
    body.iter().all(|digit| *digit < 10)
        && (1900..2100).contains(&year)
        && CHECKS[(sum % 11) as usize] == *check
}

enum Token {
    /// `0` to `9`, or `x`, which only an identity number ends in.
    Digit(char),
    Between,
    Other,
}

fn tokens(lower: &str) -> Vec<Token> {
    const WORDS: &[(&str, char)] = &[
        ("zero", '0'),
        ("oh", '0'),
        ("one", '1'),
        ("two", '2'),
        ("three", '3'),
        ("four", '4'),
        ("five", '5'),
        ("six", '6'),
        ("seven", '7'),
        ("eight", '8'),
        ("nine", '9'),
    ];
    const HAN: &str = "零一二三四五六七八九";
    let mut tokens = Vec::new();
    let mut rest = lower;
    while let Some(c) = rest.chars().next() {
        let word_length = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let (token, length) = if c.is_ascii_digit() {
            (Token::Digit(c), 1)
        } else if c == 'x' && word_length == 1 {
            (Token::Digit('x'), 1)
        } else if let Some(at) = HAN.chars().position(|han| han == c) {
            let digit = char::from_digit(at as u32, 10).unwrap_or('0');
            (Token::Digit(digit), c.len_utf8())
        } else if matches!(c, '〇' | '幺') {
            (
                Token::Digit(if c == '幺' { '1' } else { '0' }),
                c.len_utf8(),
            )
        } else if matches!(c, ' ' | '-' | '\u{a0}' | '.' | ',' | '，' | '、') {
            (Token::Between, c.len_utf8())
        } else if word_length > 0 {
            let word = &rest[..word_length];
            let digit = WORDS.iter().find(|(known, _)| *known == word);
            let token = digit.map_or(Token::Other, |(_, digit)| Token::Digit(*digit));
            (token, word_length)
        } else {
            (Token::Other, c.len_utf8())
        };
        tokens.push(token);
        rest = &rest[length..];
    }
    tokens
}

/// Characters around a word such as "password" that are looked at.
const NEAR_CHARS: usize = 40;

/// "The password is …", "…是我的密码": such a word with something beside it that may be one.
fn password(lower: &str) -> bool {
    const WORDS: &[&str] = &[
        "password",
        "passcode",
        "pass code",
        "passphrase",
        "passwd",
        "pwd",
        "pin",
        "pin code",
        "cvv",
        "cvc",
        "security code",
        "secret key",
        "api key",
        "apikey",
        "access key",
        "private key",
        "token",
        "secret",
        "recovery phrase",
        "seed phrase",
        "one time code",
        "verification code",
        "login code",
        "credit card",
        "card number",
        "account number",
        "密码",
        "口令",
        "密钥",
        "秘钥",
        "令牌",
        "验证码",
        "暗号",
        "助记词",
        "私钥",
        "卡号",
        "账号",
        "帐号",
        "身份证号",
    ];
    const LINKS: &[&str] = &[
        " is ", " is:", ":", "=", " to ", " are ", "是", "为", "改成", "换成", "设成", "叫", "设为",
    ];
    // Said of many things, so that only digits beside them count.
    const CODES: &[&str] = &["code", "combination", "safe", "保险箱", "保险柜", "门禁"];
    let is_code = |word: &str| {
        lower.match_indices(word).any(|(at, _)| {
            let end = at + word.len();
            is_whole(lower, at, end)
                && (has_digits(sentence(&lower[end..])) || has_digits(last_sentence(&lower[..at])))
        })
    };
    CODES.iter().any(|word| is_code(word))
        || WORDS.iter().any(|word| {
            lower.match_indices(word).any(|(at, _)| {
                let end = at + word.len();
                if !is_whole(lower, at, end) {
                    return false;
                }
                let after = sentence(&lower[end..]);
                let before = last_sentence(&lower[..at]);
                let linked = LINKS.iter().any(|link| {
                    format!("{after} ").find(link).is_some_and(|at| {
                        !after.get(at + link.len()..).unwrap_or("").trim().is_empty()
                    })
                });
                linked || has_code(after) || has_code(before)
            })
        })
}

/// A word of its own; Chinese has no spaces.
fn is_whole(text: &str, start: usize, end: usize) -> bool {
    let beside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !is_cjk(c));
    let plural = text[end..].starts_with('s');
    let after = text[end + usize::from(plural)..].chars().next();
    let is_word = text[start..end].chars().next().is_some_and(|c| !is_cjk(c));
    !is_word || !(beside(text[..start].chars().next_back()) || beside(after))
}

fn sentence(text: &str) -> &str {
    let near = text
        .char_indices()
        .nth(NEAR_CHARS)
        .map_or(text, |(at, _)| &text[..at]);
    let end = ENDS.iter().filter_map(|end| near.find(end)).min();
    &near[..end.unwrap_or(near.len())]
}

fn last_sentence(text: &str) -> &str {
    let start = text
        .char_indices()
        .rev()
        .take(NEAR_CHARS)
        .last()
        .map_or(text.len(), |(at, _)| at);
    let near = &text[start..];
    let ends = ENDS[..4]
        .iter()
        .filter_map(|end| near.rfind(end).map(|at| at + end.len()));
    &near[ends.max().unwrap_or(0)..]
}

/// A mark inside of a word may belong to a password, before one also at a word's end.
const ENDS: &[&str] = &["\n", "。", "！", "？", ". ", "! ", "? "];

/// A word of four characters or more with a digit in it.
fn has_code(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || is_cjk(c) || "，。、,;；\"'()".contains(c))
        .any(|word| word.chars().count() >= 4 && word.chars().any(|c| c.is_ascii_digit()))
}

/// A word of digits as codes have them.
fn has_digits(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| (3..=10).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit()))
}

/// Prefix of a key and the characters that must follow it.
const PREFIXES: &[(&str, usize)] = &[
    ("sk-", 16),
    ("pk-", 16),
    ("rk-", 16),
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghs_", 16),
    ("ghu_", 16),
    ("github_pat_", 16),
    ("glpat-", 12),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xapp-", 10),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 20),
    ("ya29.", 10),
    ("hf_", 16),
    ("npm_", 16),
    ("pypi-", 16),
    ("eyJ", 16),
    ("AGE-SECRET-KEY-", 8),
    ("SG.", 16),
    ("dop_v1_", 16),
];

fn key(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_block = lower.contains("-----begin") && lower.contains("private key");
    let is_bearer = lower.find("bearer ").is_some_and(|at| {
        let word = lower[at + 7..].split_whitespace().next().unwrap_or("");
        word.len() >= 16
    });
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.+/=".contains(c);
    is_block
        || is_bearer
        || text
            .split(|c: char| !is_part(c))
            .any(|word| is_known(word) || is_random(word))
}

fn is_known(word: &str) -> bool {
    PREFIXES.iter().any(|(prefix, more)| {
        word.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() >= *more)
    })
}

/// Long, without dots and slashes as addresses have them, and mixed as no word is.
fn is_random(word: &str) -> bool {
    word.split(['.', '/', '=']).any(|part| {
        let count = |fits: fn(&char) -> bool| part.chars().filter(fits).count();
        let digits = count(char::is_ascii_digit);
        let upper = count(char::is_ascii_uppercase);
        let lower = count(char::is_ascii_lowercase);
        let hex = part.len() >= 32 && part.chars().all(|c| c.is_ascii_hexdigit());
        let is_uuid = part.len() == 36 && part.matches('-').count() == 4;
        (hex && digits >= 4 && upper + lower >= 4)
            || (part.len() >= 24 && digits >= 3 && upper >= 3 && lower >= 3 && !is_uuid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_known_by_their_pattern() {
        for (text, secret) in [
            ("my card is 4111 1111 1111 1111", Secret::Card),
            ("卡是5500-0000-0000-0004哦", Secret::Card),
            (
                "four one one one one one one one one one one one one one one one",
                Secret::Card,
            ),
            ("四一一一一一一一一一一一一一一一", Secret::Card),
            ("３７８２８２２４６３１０００５", Secret::Card),
            ("我叫王芳，11010519491231002X", Secret::Identity),
            ("the wifi password is magpie", Secret::Password),
            ("my PIN is 31337", Secret::Password),
            ("hunter2! is my password", Secret::Password),
            ("把密码改成了蓝色", Secret::Password),
            ("WiFi密码是 magpie2026", Secret::Password),
            ("abc12345是我的密码", Secret::Password),
            ("验证码 482913", Secret::Password),
            (
                "token ghp_16C7e42F292c6912E7710c838347Ae178B4a",
                Secret::Key,
            ),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", Secret::Key),
            ("Authorization: Bearer abcdefghijklmnop1234", Secret::Key),
            ("d41d8cd98f00b204e9800998ecf8427e", Secret::Key),
        ] {
            assert_eq!(secret_in(text), Some(secret), "{text}");
        }
        // Written so that scanners of this text do not take it for a leak.
        for prefix in ["sk-", "sk-ant-", "ghp_", "glpat-", "xoxb-", "AKIA", "hf_"] {
            let key = format!("my key: {prefix}{}", "A1b2".repeat(6));
            assert_eq!(secret_in(&key), Some(Secret::Key), "{key}");
        }
    }

    #[test]
    fn ordinary_talk_is_none() {
        for text in [
            "the spare key is under the blue flower pot",
            "I forgot my password again",
            "我忘了密码",
            "call 020 7946 0018 tomorrow",
            "my phone number is 13800138000",
            "it costs 4111 euros",
            "meeting on 2026-01-02 at 10:30, room 4",
            "spinning the pinwheel",
            "订单号 20260102123456",
            "see https://example.org/a/very/long/path/to/some/page.html",
            "conv_0123456789abcdef",
            "",
        ] {
            assert_eq!(secret_in(text), None, "{text}");
        }
    }

    /// Digits with the check digit that makes a card of them.
    fn card(mut digits: Vec<u32>) -> String {
        digits[0] = 4;
        let check = (0..10)
            .find(|check| {
                let mut whole = digits.clone();
                whole.push(*check);
                is_luhn(&whole)
            })
            .unwrap();
        digits.push(check);
        digits
            .iter()
            .map(|digit| char::from_digit(*digit, 10).unwrap())
            .collect()
    }

    proptest! {
        #[test]
        fn every_card_number_is_found_in_any_writing(
            digits in proptest::collection::vec(0..10u32, 15..=15),
            style in 0..4u8, before in "[a-z ]{0,12}", after in "[，。a-z ]{0,12}",
        ) {
            prop_assume!(digits[1..].iter().any(|digit| *digit != 4));
            let card = card(digits);
            let written: String = match style {
                0 => card.clone(),
                1 => card.as_bytes().chunks(4).map(|four| std::str::from_utf8(four).unwrap()).collect::<Vec<_>>().join(" "),
                2 => card.chars().map(|c| "零一二三四五六七八九".chars().nth(c.to_digit(10).unwrap() as usize).unwrap()).collect(),
                _ => card.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect(),
            };
            let text = format!("{before}号 {written} {after}");
            prop_assert!(secret_in(&text).is_some(), "{}", text);
        }

        #[test]
        fn what_is_said_to_be_a_password_is_found(value in "[a-zA-Z0-9!#]{3,20}", which in 0..4usize) {
            let text = [
                format!("the garage password is {value}"),
                format!("remember my pin code: {value}"),
                format!("车库密码是{value}"),
                format!("我的口令改成{value}了"),
            ];
            prop_assert!(secret_in(&text[which]).is_some(), "{}", text[which]);
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,200}") {
            let _ = secret_in(&text);
        }
    }
}
