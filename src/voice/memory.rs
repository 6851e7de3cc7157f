//! What a memory is: its fields, their bounds, and what a list or a search may ask for.
//!
//! Parsed once at whichever door it came through. Text is kept word for word. The handle through
//! which everything else reaches the memories is [`Memories`].

use serde::{Deserialize, Serialize};

use super::details::Details;
use super::dialogue::MemorySaved;
use super::error::VoiceError;
use super::facts;
use super::index::{Query, is_cjk};
use crate::clock::UnixMillis;
use crate::limits::{MEMORY_BYTES_MAX, MEMORY_TAGS_MAX, TAG_CHARS_MAX};

pub use super::memories::{Memories, TOPIC};

pub(super) const TITLE_WORDS_MAX: usize = 8;
pub(super) const TITLE_CJK_MAX: usize = 15;
const TITLE_CHARS_MAX: usize = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Chat,
    Manual,
    Import,
    Voice,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    High,
    #[default]
    Normal,
    Low,
}

/// A memory on its way into the store; checked by [`NewMemory::check`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewMemory {
    pub id: String,
    pub content: String,
    pub title: String,
    pub summary: Option<String>,
    pub category: String,
    pub tags: Vec<String>,
    pub source: Source,
    pub importance: Importance,
    pub pinned: bool,
    /// A JSON object.
    pub metadata: Option<serde_json::Value>,
    pub conversation_id: Option<String>,
    pub message_id: Option<String>,
    pub recording_id: Option<String>,
    pub recorded_at: Option<UnixMillis>,
    pub created_at: UnixMillis,
    #[serde(default)]
    pub details: Details,
    /// When a model filed it.
    #[serde(default)]
    pub organized_at: Option<UnixMillis>,
    /// A model is to file it.
    #[serde(default)]
    pub wants_organizing: bool,
}

/// Fields that are to change; `None` leaves one as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryPatch {
    pub content: Option<String>,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub category: Option<String>,
    pub tags: Option<Vec<String>>,
    pub importance: Option<Importance>,
    pub pinned: Option<bool>,
    pub archived: Option<bool>,
    pub metadata: Option<serde_json::Value>,
    pub recorded_at: Option<UnixMillis>,
    pub details: Details,
}

/// Which memories a list or a search is about.
#[derive(Clone, Debug, Default)]
pub struct MemoryFilter {
    /// Also finds what lies below it: `life` finds `life.food`.
    pub category: Option<String>,
    pub tag: Option<String>,
    pub source: Option<Source>,
    pub importance: Option<Importance>,
    pub since: Option<UnixMillis>,
    /// Exclusive.
    pub until: Option<UnixMillis>,
    pub archived: bool,
    pub conversation_id: Option<String>,
    /// Leaves out what a newer memory has replaced.
    pub current_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub limit: usize,
    pub offset: usize,
}

/// What to forget; exactly one way to say it.
#[derive(Clone, Debug)]
pub enum Forget {
    /// Memories in which every word is found.
    Matching(Query),
    Conversation(String),
    /// Created in this time, the end excluded.
    Between(UnixMillis, UnixMillis),
    /// By id.
    These(Vec<String>),
    Everything,
}

impl NewMemory {
    /// A memory with nothing but its text; a title is made from the first words.
    pub fn plain(content: impl Into<String>, source: Source, now: UnixMillis) -> NewMemory {
        let content = content.into();
        NewMemory {
            id: fresh_id("mem_"),
            title: title_of(&content),
            content,
            summary: None,
            category: String::from("life"),
            tags: Vec::new(),
            source,
            importance: Importance::Normal,
            pinned: false,
            metadata: None,
            conversation_id: None,
            message_id: None,
            recording_id: None,
            recorded_at: None,
            created_at: now,
            details: Details::default(),
            organized_at: None,
            wants_organizing: false,
        }
    }

    /// What a person asked to keep: as [`NewMemory::plain`], with the fact that it is certain to
    /// tell.
    pub fn told(content: impl Into<String>, source: Source, now: UnixMillis) -> NewMemory {
        NewMemory::plain(content, source, now).with_certain_fact()
    }

    /// Adds the fact that the text is certain to tell, unless facts are given.
    pub fn with_certain_fact(mut self) -> NewMemory {
        if self.details.facts.is_none() {
            self.details.facts = facts::certain(&self.content).map(|fact| vec![fact]);
        }
        self
    }

    /// Names the field that is empty or too long.
    pub fn check(mut self) -> Result<NewMemory, VoiceError> {
        check_text("content", &self.content, 1, MEMORY_BYTES_MAX)?;
        check_text("title", &self.title, 0, 512)?;
        check_text("category", &self.category, 1, 64)?;
        check_text(
            "summary",
            self.summary.as_deref().unwrap_or(""),
            0,
            MEMORY_BYTES_MAX,
        )?;
        check_metadata(self.metadata.as_ref())?;
        self.tags = check_tags(self.tags)?;
        self.details = self.details.check()?;
        Ok(self)
    }

    pub fn saved(&self) -> MemorySaved {
        MemorySaved {
            id: self.id.clone(),
            title: self.title.clone(),
            category: self.category.clone(),
        }
    }
}

impl MemoryPatch {
    pub fn check(mut self) -> Result<MemoryPatch, VoiceError> {
        if self == MemoryPatch::default() {
            return Err(VoiceError::Invalid(String::from(
                "Nothing to change: name at least one field of the memory.",
            )));
        }
        let text = |field: &Option<String>, name, min, max| match field {
            Some(text) => check_text(name, text, min, max),
            None => Ok(()),
        };
        text(&self.content, "content", 1, MEMORY_BYTES_MAX)?;
        text(&self.title, "title", 0, 512)?;
        text(&self.summary, "summary", 0, MEMORY_BYTES_MAX)?;
        text(&self.category, "category", 1, 64)?;
        check_metadata(self.metadata.as_ref())?;
        self.tags = self.tags.map(check_tags).transpose()?;
        self.details = self.details.check()?;
        Ok(self)
    }
}

impl Source {
    pub const NAMES: &[(&str, Source)] = &[
        ("chat", Source::Chat),
        ("manual", Source::Manual),
        ("import", Source::Import),
        ("voice", Source::Voice),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Source::Chat => "chat",
            Source::Manual => "manual",
            Source::Import => "import",
            Source::Voice => "voice",
        }
    }
}

impl Importance {
    pub const NAMES: &[(&str, Importance)] = &[
        ("high", Importance::High),
        ("normal", Importance::Normal),
        ("low", Importance::Low),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Importance::High => "high",
            Importance::Normal => "normal",
            Importance::Low => "low",
        }
    }

    pub fn named(name: &str) -> Option<Importance> {
        Importance::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, importance)| *importance)
    }

    /// What a rank is multiplied with.
    pub fn weight(self) -> f64 {
        match self {
            Importance::High => 1.3,
            Importance::Normal => 1.0,
            Importance::Low => 0.8,
        }
    }
}

/// `prefix` and 16 random hex digits.
pub fn fresh_id(prefix: &str) -> String {
    let mut bytes = [0u8; 8];
    // The kernel's generator cannot fail once the system has booted; without it no id may be made.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    format!("{prefix}{:016x}", u64::from_be_bytes(bytes))
}

/// Whether `id` has the form [`fresh_id`] gives for `prefix`.
pub fn is_id(id: &str, prefix: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|hex| {
        hex.len() == 16
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// The first words: at most eight, or fifteen CJK characters, of the first line.
pub fn title_of(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or("");
    let mut end = 0;
    let (mut words, mut cjk, mut in_word) = (0, 0, false);
    for (count, (at, c)) in line.char_indices().enumerate() {
        let starts_word = !c.is_whitespace() && !in_word && !is_cjk(c);
        words += usize::from(starts_word);
        cjk += usize::from(is_cjk(c));
        in_word = !c.is_whitespace() && !is_cjk(c);
        if words > TITLE_WORDS_MAX || cjk > TITLE_CJK_MAX || count >= TITLE_CHARS_MAX {
            break;
        }
        end = at + c.len_utf8();
    }
    let title = line[..end].trim_end();
    if title.len() == line.trim_end().len() {
        title.trim_end_matches(['.', '。']).to_string()
    } else {
        format!("{title}…")
    }
}

pub(super) fn unknown(id: &str) -> VoiceError {
    if is_id(id, "mem_") {
        VoiceError::NotFound(format!("memory {id}"))
    } else {
        VoiceError::NotFound(String::from("memory of this id"))
    }
}

pub(super) fn check_text(
    field: &str,
    text: &str,
    bytes_min: usize,
    bytes_max: usize,
) -> Result<(), VoiceError> {
    if bytes_min > 0 && text.trim().is_empty() {
        return Err(VoiceError::Invalid(format!("`{field}` must not be empty.")));
    }
    if text.len() > bytes_max {
        return Err(VoiceError::Invalid(format!(
            "`{field}` is {} bytes long; at most {bytes_max} are allowed.",
            text.len()
        )));
    }
    if text.contains('\0') {
        return Err(VoiceError::Invalid(format!(
            "`{field}` must not contain a NUL character."
        )));
    }
    Ok(())
}

fn check_metadata(metadata: Option<&serde_json::Value>) -> Result<(), VoiceError> {
    match metadata {
        None => Ok(()),
        Some(value) if !value.is_object() => Err(VoiceError::Invalid(String::from(
            "`metadata` must be an object.",
        ))),
        Some(value) => check_text("metadata", &value.to_string(), 0, MEMORY_BYTES_MAX),
    }
}

/// Trimmed, without doubles.
pub(super) fn check_tags(tags: Vec<String>) -> Result<Vec<String>, VoiceError> {
    if tags.len() > MEMORY_TAGS_MAX {
        return Err(VoiceError::Invalid(format!(
            "`tags` has {} entries; at most {MEMORY_TAGS_MAX} are allowed.",
            tags.len()
        )));
    }
    let mut kept: Vec<String> = Vec::with_capacity(tags.len());
    for tag in tags {
        let tag = tag.trim();
        check_tag("tags", tag)?;
        if !kept.iter().any(|other| other.eq_ignore_ascii_case(tag)) {
            kept.push(tag.to_string());
        }
    }
    Ok(kept)
}

pub(super) fn check_tag(field: &str, tag: &str) -> Result<(), VoiceError> {
    check_text(field, tag, 1, 4 * TAG_CHARS_MAX)?;
    match tag.chars().count() > TAG_CHARS_MAX {
        true => Err(VoiceError::Invalid(format!(
            "`{field}`: a tag has at most {TAG_CHARS_MAX} characters."
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_first_words() {
        for (content, title) in [
            (
                "The spare key is under the pot.",
                "The spare key is under the pot",
            ),
            (
                "one two three four five six seven eight nine",
                "one two three four five six seven eight…",
            ),
            ("备用钥匙在蓝色花盆下面。", "备用钥匙在蓝色花盆下面"),
            (
                "一二三四五六七八九十一二三四五六七",
                "一二三四五六七八九十一二三四五…",
            ),
            ("  first line \nsecond", "first line"),
        ] {
            assert_eq!(title_of(content), title);
        }
        assert!(title_of(&"x".repeat(1_000)).chars().count() <= TITLE_CHARS_MAX + 1);
    }

    #[test]
    fn ids_have_one_form() {
        let id = fresh_id("mem_");
        assert!(is_id(&id, "mem_"), "{id}");
        for wrong in [
            "mem_",
            "mem_0123456789ABCDEF",
            "msg_0123456789abcdef",
            "mem_0123456789abcdef0",
        ] {
            assert!(!is_id(wrong, "mem_"), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_memory_names_the_field() {
        let plain = || NewMemory::plain("text", Source::Manual, UnixMillis(0));
        let message = |memory: NewMemory| memory.check().unwrap_err().to_string();
        assert!(
            message(NewMemory {
                content: String::from(" \n"),
                ..plain()
            })
            .contains("`content`")
        );
        assert!(
            message(NewMemory {
                content: "x".repeat(MEMORY_BYTES_MAX + 1),
                ..plain()
            })
            .contains("`content`")
        );
        assert!(
            message(NewMemory {
                tags: vec![String::new()],
                ..plain()
            })
            .contains("`tags`")
        );
        assert!(
            message(NewMemory {
                metadata: Some(serde_json::json!([1])),
                ..plain()
            })
            .contains("`metadata`")
        );
        let twice = NewMemory {
            tags: vec!["Home".into(), " home ".into()],
            ..plain()
        };
        assert_eq!(twice.check().unwrap().tags, ["Home"]);
    }
}
