//! Facts: the form in which subject and predicate are compared, and the few statements that are
//! certain to be facts without a model.
//!
//! A wrong "this replaces that" hides what somebody wanted to know, so the rules take only
//! properties that a thing has one of (a password, a telephone number, a birthday) and values
//! that look like one. Everything else stays a memory beside other memories.

use super::details::Fact;
use super::index::{is_cjk, plain_width};

/// Who speaks.
const ME: &str = "me";

/// Properties with one value: their name here, what kind of value, and how people say them,
/// longer ones first where one ends in another.
const PROPERTIES: &[(&str, Value, &[&str])] = &[
    (
        "password",
        Value::Code,
        &[
            "password",
            "passcode",
            "pass code",
            "passphrase",
            "密码",
            "口令",
        ],
    ),
    (
        "pin",
        Value::Code,
        &["pin code", "pin number", "pin码", "pin"],
    ),
    (
        "code",
        Value::Code,
        &["entry code", "access code", "code", "combination", "门禁码"],
    ),
    (
        "phone",
        Value::Code,
        &[
            "telephone number",
            "phone number",
            "mobile number",
            "cell number",
            "手机号码",
            "电话号码",
            "手机号",
            "电话号",
            "电话",
        ],
    ),
    (
        "plate",
        Value::Code,
        &[
            "licence plate",
            "license plate",
            "number plate",
            "车牌号",
            "车牌",
        ],
    ),
    (
        "email",
        Value::Email,
        &[
            "email address",
            "e-mail address",
            "email",
            "e-mail",
            "电子邮箱",
            "邮箱地址",
            "邮箱",
        ],
    ),
    (
        "birthday",
        Value::Date,
        &["birthday", "date of birth", "出生日期", "生日"],
    ),
    (
        "address",
        Value::Place,
        &["home address", "address", "家庭住址", "住址", "地址"],
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// One word, or groups of digits.
    Code,
    Email,
    /// Has a number or a month in it.
    Date,
    /// Has a number in it.
    Place,
}

const LINKS_EN: &[&str] = &[
    " has been changed to ",
    " has changed to ",
    " was changed to ",
    " is changed to ",
    " changed to ",
    " is now ",
    " is: ",
    " is ",
    ": ",
    " = ",
];

const LINKS_ZH: &[&str] = &[
    "已经改成了",
    "已经改成",
    "现在改成",
    "改成了",
    "换成了",
    "变成了",
    "改成",
    "改为",
    "换成",
    "变成",
    "现在是",
    "现在为",
    "是",
    "为",
    "：",
    ":",
    "=",
];

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Characters of a value that a rule still takes for one.
const VALUE_CHARS_MAX: usize = 80;
const SUBJECT_WORDS_MAX: usize = 6;

/// The fact that a statement is certain to tell; `None` for nearly everything.
pub fn certain(statement: &str) -> Option<Fact> {
    let text: String = statement.trim().chars().map(plain_width).collect();
    if text.contains(['?', '？', '\n', ';', '；']) {
        return None;
    }
    let text = text.trim_end_matches(['.', '。', '!', '！', ' ']);
    english(text).or_else(|| chinese(text))
}

/// A subject in the form in which it is compared: `The Wi-Fi` and `我家的WiFi` are `wifi`.
pub fn subject(text: &str) -> String {
    let (owner, rest) = split_owner(&folded(text));
    match (owner, rest.as_str()) {
        (_, "i" | "me" | "user" | "the user" | "用户" | "我" | "本人" | "speaker") => {
            ME.to_string()
        }
        (true, "") => ME.to_string(),
        _ => rest,
    }
}

/// A predicate in the form in which it is compared, across both languages where it is known.
pub fn predicate(text: &str) -> String {
    let folded = folded(text).trim_start_matches("has ").to_string();
    PROPERTIES
        .iter()
        .find(|(name, _, words)| *name == folded || words.contains(&folded.as_str()))
        .map_or(folded.clone(), |(name, _, _)| name.to_string())
}

/// Whether two values say the same.
pub fn same_value(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        text.chars()
            .map(plain_width)
            .filter(|c| !c.is_whitespace())
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    // A password differs by case alone; a name does not.
    one.trim() == other.trim() || (plain(one) == plain(other) && !one.chars().any(char::is_numeric))
}

fn english(text: &str) -> Option<Fact> {
    let lower = text.to_ascii_lowercase();
    let (at, link) = LINKS_EN
        .iter()
        .filter_map(|link| lower.find(link).map(|at| (at, *link)))
        .min_by_key(|(at, link)| (*at, std::cmp::Reverse(link.len())))?;
    let left = lower[..at].trim();
    if left.split_whitespace().count() > SUBJECT_WORDS_MAX || left.contains([',', '.']) {
        return None;
    }
    let (name, kind, owner) = property_at_end(left)?;
    fact(owner, name, kind, text.get(at + link.len()..)?)
}

fn chinese(text: &str) -> Option<Fact> {
    let lower = text.to_ascii_lowercase();
    let (at, link) = LINKS_ZH
        .iter()
        .filter_map(|link| lower.find(link).map(|at| (at, *link)))
        .min_by_key(|(at, link)| (*at, std::cmp::Reverse(link.len())))?;
    let left = lower[..at].trim();
    if left.contains(['，', ',', '。']) || left.chars().count() > 24 {
        return None;
    }
    let (name, kind, owner) = property_at_end(left)?;
    fact(owner, name, kind, text.get(at + link.len()..)?)
}

/// The property that `left` ends in, and whose it is.
fn property_at_end(left: &str) -> Option<(&'static str, Value, &str)> {
    for (name, kind, words) in PROPERTIES {
        for word in *words {
            if let Some(owner) = left.strip_suffix(word) {
                let whole_word = owner.is_empty()
                    || owner.ends_with(' ')
                    || word.chars().next().is_some_and(is_cjk)
                    || owner.chars().next_back().is_some_and(is_cjk);
                if whole_word {
                    return Some((name, *kind, owner.trim()));
                }
            }
        }
    }
    None
}

fn fact(owner: &str, predicate: &str, kind: Value, value: &str) -> Option<Fact> {
    let value = value.trim();
    let value = value.strip_prefix("on ").unwrap_or(value);
    let subject = match owner {
        // "The code" of what?
        "" | "the" | "a" | "this" | "that" | "new" | "the new" | "新" | "新的" => return None,
        _ => subject(owner),
    };
    let vague = [
        "his",
        "her",
        "their",
        "its",
        "他",
        "她",
        "他的",
        "她的",
        "他们的",
        "它的",
        "这个",
        "那个",
    ];
    let is_vague = vague
        .iter()
        .any(|word| subject == *word || subject.split_whitespace().next() == Some(*word));
    (!subject.is_empty() && !is_vague && fits(kind, value)).then(|| Fact {
        subject,
        predicate: predicate.to_string(),
        value: value.to_string(),
        valid_from: None,
    })
}

fn fits(kind: Value, value: &str) -> bool {
    let doubtful = [
        " or ",
        " and ",
        "或",
        "还是",
        "什么",
        "多少",
        "吗",
        "不是",
        "不知道",
    ];
    let lower = value.to_ascii_lowercase();
    if value.is_empty()
        || value.chars().count() > VALUE_CHARS_MAX
        || doubtful.iter().any(|word| lower.contains(word))
    {
        return false;
    }
    let has_digit = value.chars().any(|c| c.is_ascii_digit() || is_zh_digit(c));
    match kind {
        Value::Code => is_code(&lower),
        Value::Email => lower.contains('@') && !lower.contains(char::is_whitespace),
        Value::Date => {
            let has_month =
                MONTHS.iter().any(|month| lower.contains(month)) || lower.contains('月');
            has_month && has_digit
        }
        Value::Place => has_digit,
    }
}

fn is_code(value: &str) -> bool {
    const NO_CODES: &[&str] = &[
        "not",
        "wrong",
        "unknown",
        "secret",
        "lost",
        "expired",
        "new",
        "old",
        "here",
        "there",
        "this",
        "that",
        "it",
        "easy",
        "hard",
        "weak",
        "strong",
        "safe",
        "long",
        "short",
        "important",
        "needed",
        "required",
        "forgotten",
        "gone",
        "correct",
        "right",
        "different",
        "same",
        "changing",
        "mine",
    ];
    let is_number = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_digit() || is_zh_digit(c) || "+-()/.".contains(c))
    };
    let mut words = value.split_whitespace();
    match (words.next(), words.next()) {
        (Some(word), None) => {
            !NO_CODES.contains(&word)
                && (!word.chars().any(is_cjk) || is_number(word) || is_plate(word))
        }
        _ => value.split_whitespace().all(is_number),
    }
}

/// 京A12345: one Chinese character, then letters and digits.
fn is_plate(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(is_cjk)
        && chars.clone().count() >= 5
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '·')
}

fn is_zh_digit(c: char) -> bool {
    "零〇一二三四五六七八九幺".contains(c)
}

/// Lower case, plain width, words one space apart, CJK without spaces, no punctuation.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for c in text
        .trim()
        .chars()
        .map(plain_width)
        .flat_map(char::to_lowercase)
    {
        if matches!(c, '-' | '\'' | '\u{2019}' | '_') {
            continue;
        }
        if !c.is_alphanumeric() {
            gap = true;
            continue;
        }
        let before = out.chars().next_back();
        if gap && before.is_some_and(|before| !is_cjk(before) && !is_cjk(c)) {
            out.push(' ');
        }
        gap = false;
        out.push(c);
    }
    out
}

/// Takes articles and "my" off; whether it was somebody's own.
fn split_owner(folded: &str) -> (bool, String) {
    const OWN: &[&str] = &[
        "my ",
        "our ",
        "我们家的",
        "我们家",
        "我们的",
        "我家的",
        "我家",
        "我的",
        "咱们家的",
        "咱家的",
        "咱家",
        "家里的",
        "家里",
    ];
    const ARTICLES: &[&str] = &["the ", "a ", "an ", "new ", "新的", "新"];
    let spaced = format!("{folded} ");
    let mut rest = spaced.as_str();
    let mut own = false;
    loop {
        if let Some(shorter) = OWN.iter().find_map(|word| rest.strip_prefix(word)) {
            own = true;
            rest = shorter;
        } else if let Some(shorter) = ARTICLES.iter().find_map(|word| rest.strip_prefix(word)) {
            rest = shorter;
        } else {
            break;
        }
    }
    let rest = rest.trim().trim_end_matches('的');
    (own, rest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn certain_statements_are_facts_in_both_languages() {
        for (statement, subject, predicate, value) in [
            (
                "the wifi password is magpie2026",
                "wifi",
                "password",
                "magpie2026",
            ),
            (
                "The Wi-Fi password is now Blue7",
                "wifi",
                "password",
                "Blue7",
            ),
            ("WiFi密码是 magpie2026", "wifi", "password", "magpie2026"),
            ("我家的WiFi密码改成了blue7。", "wifi", "password", "blue7"),
            ("my phone number is 555 0199", "me", "phone", "555 0199"),
            ("我的手机号是13800138000", "me", "phone", "13800138000"),
            ("Anna's birthday is on May 5", "annas", "birthday", "May 5"),
            ("妈妈的生日是五月三日", "妈妈", "birthday", "五月三日"),
            (
                "Ben's email is ben@example.org",
                "bens",
                "email",
                "ben@example.org",
            ),
            ("the shed code is 99", "shed", "code", "99"),
            ("车库的密码是六六八八", "车库", "password", "六六八八"),
            ("我的车牌是京A12345", "me", "plate", "京A12345"),
        ] {
            let fact = certain(statement).unwrap_or_else(|| panic!("{statement}"));
            assert_eq!(
                (
                    fact.subject.as_str(),
                    fact.predicate.as_str(),
                    fact.value.as_str()
                ),
                (subject, predicate, value),
                "{statement}"
            );
        }
    }

    #[test]
    fn what_is_not_certain_stays_a_memory() {
        for statement in [
            "the spare key is under the pot",
            "the wifi password is on the fridge",
            "the password is 1234",
            "his phone number is 555",
            "the wifi password is magpie or blue",
            "my password is weak",
            "what is the wifi password?",
            "Anna's birthday is next week",
            "the postcode is nice",
            "Anna likes tulips",
            "密码是1234",
            "WiFi密码写在纸上",
            "WiFi密码是写在纸上的",
            "WiFi密码是什么",
            "他的电话是123456",
            "妈妈的生日快到了",
            "the opinion is 7",
            "",
        ] {
            assert_eq!(certain(statement), None, "{statement}");
        }
    }

    #[test]
    fn subjects_and_predicates_are_compared_in_one_form() {
        for (one, other) in [
            ("the WiFi", "我家的 ＷｉＦｉ"),
            ("Me", "用户"),
            ("my", "我的"),
        ] {
            assert_eq!(subject(one), subject(other), "{one} {other}");
        }
        assert_eq!(predicate("Phone Number"), predicate("电话"));
        assert_eq!(predicate("lives in"), "lives in");
        assert!(same_value("Berlin ", "berlin"));
        assert!(!same_value("Blue7", "blue7"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_rules(text in "\\PC{0,120}") {
            if let Some(fact) = certain(&text) {
                prop_assert!(!fact.subject.is_empty() && !fact.value.is_empty());
            }
            prop_assert_eq!(subject(&subject(&text)), subject(&text));
        }
    }
}
