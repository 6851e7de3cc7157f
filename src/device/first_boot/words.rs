//! The two languages that the box says everything in while nobody has told it which.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "zh")]
    Chinese,
}

impl Language {
    pub const BOTH: [Language; 2] = [Language::English, Language::Chinese];

    /// `en`, `zh`, and what people write for them.
    pub fn parse(text: &str) -> Option<Language> {
        let text = text.to_lowercase();
        let begins = |with: &[&str]| with.iter().any(|word| text.starts_with(word));
        if begins(&["en"]) {
            Some(Language::English)
        } else if begins(&["zh", "chinese", "cn", "中文", "汉语", "普通话"]) {
            Some(Language::Chinese)
        } else {
            None
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh",
        }
    }

    pub fn pick<'a>(self, english: &'a str, chinese: &'a str) -> &'a str {
        match self {
            Language::English => english,
            Language::Chinese => chinese,
        }
    }
}
