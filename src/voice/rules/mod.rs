//! Understanding without a model: from a text to what is wanted, by the table in `words`.
//!
//! Pure: no store, no clock. Works on typed text and on transcripts, which have neither
//! punctuation nor capitals. What is to be kept is cut out of the text as it was given, word for
//! word.

mod pattern;
pub mod replies;
pub mod words;

use pattern::Normal;
use words::{COURTESY, QUESTION_BEGINNINGS, QUESTION_MARKS_ZH, RULES};

use super::index::is_cjk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stop,
    Yes,
    No,
    Greeting,
    Thanks,
    Farewell,
    Help,
    Time,
    Date,
    Repeat,
    VolumeUp,
    VolumeDown,
    VolumeTo,
    Memo,
    Mute,
    SummaryToday,
    PrivateOn,
    PrivateOff,
    List,
    ForgetEverything,
    ClearConversation,
    Recall,
    Record,
    Forget,
}

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// A rule without a part that varies.
    Plain(Kind),
    /// 0..=100.
    Volume(u8),
    /// Keep this, word for word.
    Record(String),
    /// Answer this from memory.
    Recall(String),
    /// Remove what is remembered about this.
    Forget(String),
    /// No rule fits.
    Unknown,
}

/// What `text` asks for.
pub fn understand(text: &str) -> Intent {
    let normal = Normal::of(text);
    let whole = normal.without_courtesy(COURTESY);
    for range in [normal.all(), whole.clone()] {
        for (kind, patterns) in RULES {
            for pattern in *patterns {
                if let Some(found) = normal.matches(range.clone(), pattern) {
                    let part = found.map(|part| normal.original(text, part));
                    if let Some(intent) = intent(*kind, part) {
                        return intent;
                    }
                }
            }
        }
    }
    if is_question(text, normal.text(whole)) {
        return Intent::Recall(text.trim().to_string());
    }
    Intent::Unknown
}

/// Chinese as soon as there is a CJK character, unless a hint says otherwise.
pub fn language_of(text: &str, hint: Option<&str>) -> Language {
    match hint.map(|hint| hint.get(..2).unwrap_or(hint)) {
        Some(hint) if hint.eq_ignore_ascii_case("zh") => Language::Chinese,
        Some(hint) if hint.eq_ignore_ascii_case("en") => Language::English,
        _ if text.chars().any(is_cjk) => Language::Chinese,
        _ => Language::English,
    }
}

impl Language {
    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh",
        }
    }
}

impl Intent {
    /// Whether this is talk that a model does better, where there is one: no rule of ours but
    /// manners, a yes to nothing, or a question that only looks like one for the memory.
    pub fn is_talk(&self, text: &str) -> bool {
        match self {
            Intent::Plain(kind) => matches!(
                kind,
                Kind::Yes | Kind::No | Kind::Greeting | Kind::Thanks | Kind::Farewell
            ),
            Intent::Recall(question) => question == text.trim(),
            Intent::Unknown => true,
            _ => false,
        }
    }
}

/// `None` when the varying part makes no sense for the rule: the next rule is tried.
fn intent(kind: Kind, part: Option<&str>) -> Option<Intent> {
    match (kind, part) {
        (Kind::Record, Some(part)) => {
            is_worth_keeping(part).then(|| Intent::Record(part.to_string()))
        }
        (Kind::Recall, Some(part)) => Some(Intent::Recall(part.to_string())),
        (Kind::Forget, Some(part)) => Some(Intent::Forget(part.to_string())),
        (Kind::VolumeTo, Some(part)) => percent(part).map(Intent::Volume),
        (_, None) => Some(Intent::Plain(kind)),
        (_, Some(_)) => None,
    }
}

/// "Remember?" and "记得吗" ask; they tell nothing.
fn is_worth_keeping(part: &str) -> bool {
    let asks = ["吗", "吗？", "吗?", "没", "没有", "什么", "什么？"];
    part.chars().any(char::is_alphanumeric)
        && !asks.iter().any(|end| part.trim_end().ends_with(end))
}

fn is_question(text: &str, normal: &str) -> bool {
    let ends_so = text.trim_end().ends_with(['?', '？']);
    let begins_so = QUESTION_BEGINNINGS
        .iter()
        .any(|word| normal.starts_with(word));
    let has_it = QUESTION_MARKS_ZH.iter().any(|word| normal.contains(word));
    ends_so || begins_so || has_it
}

/// A number from 0 to 100 in digits or words; more is taken as 100.
fn percent(text: &str) -> Option<u8> {
    let text = text.trim().to_lowercase();
    let text = text
        .trim_start_matches("百分之")
        .trim_end_matches(['.', '。', '%', '％'])
        .trim_end_matches("percent")
        .trim();
    let digits = text.parse::<u32>().ok();
    let number = digits.or_else(|| match text {
        "max" | "maximum" | "full" | "一百" | "最大" => Some(100),
        "min" | "minimum" | "最小" => Some(10),
        "half" | "一半" => Some(50),
        _ => {
            let tens = [
                ("ten", "十"),
                ("twenty", "二十"),
                ("thirty", "三十"),
                ("forty", "四十"),
                ("fifty", "五十"),
                ("sixty", "六十"),
                ("seventy", "七十"),
                ("eighty", "八十"),
                ("ninety", "九十"),
                ("one hundred", "百"),
            ];
            let at = tens
                .iter()
                .position(|(en, zh)| *en == text || *zh == text)?;
            Some((at as u32 + 1) * 10)
        }
    })?;
    Some(number.min(100) as u8)
}

#[cfg(test)]
mod tests;
