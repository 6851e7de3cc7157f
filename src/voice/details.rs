//! What is known about a memory beyond its text: points, names, relations, facts.
//!
//! The same fields come from a person by the API and from a model by its filing; both pass the
//! same check. A fact is one value of one thing's property, and its subject and predicate are
//! brought into one form here, so that the newer of two can take the older one's place.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::VoiceError;
use super::facts;
use super::memory::check_text;
use crate::clock::UnixMillis;
use crate::limits::{DETAIL_CHARS_MAX, DETAIL_ENTRIES_MAX};

/// Ways in which a memory may relate to something.
pub const RELATIONS: &[&str] = &[
    "relates_to",
    "requires",
    "implements",
    "improves",
    "contrasts_with",
    "part_of",
    "inspired_by",
    "alternative_to",
];

/// Kinds of observations.
pub const OBSERVATIONS: &[&str] = &[
    "fact",
    "decision",
    "preference",
    "technique",
    "question",
    "task",
];

pub const SENTIMENTS: &[&str] = &["positive", "neutral", "negative"];

/// `None` leaves a field as it is; for a new memory it stays empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    pub key_points: Option<Vec<String>>,
    pub entities: Option<Entities>,
    pub relations: Option<Vec<Relation>>,
    pub observations: Option<Vec<Observation>>,
    pub action_items: Option<Vec<String>>,
    pub sentiment: Option<String>,
    pub facts: Option<Vec<Fact>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Entities {
    pub people: Vec<String>,
    pub products: Vec<String>,
    pub companies: Vec<String>,
    pub locations: Vec<String>,
    pub concepts: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// One of [`RELATIONS`].
    #[serde(rename = "type")]
    pub kind: String,
    pub target: String,
    #[serde(default)]
    pub context: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// One of [`OBSERVATIONS`].
    pub category: String,
    pub content: String,
    #[serde(default)]
    pub context: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    pub subject: String,
    pub predicate: String,
    pub value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Day>,
}

/// A time, also given as a mere date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub UnixMillis);

impl Details {
    pub fn is_empty(&self) -> bool {
        *self == Details::default()
    }

    /// Names the field that is wrong; facts come back in the form in which they are compared.
    pub fn check(mut self) -> Result<Details, VoiceError> {
        check_list("key_points", self.key_points.as_deref())?;
        check_list("action_items", self.action_items.as_deref())?;
        if let Some(entities) = &self.entities {
            for names in entities.lists() {
                check_list("entities", Some(names))?;
            }
        }
        for relation in counted("relations", self.relations.as_deref())? {
            check_word("relations", &relation.kind, RELATIONS)?;
            check_entry("relations", &relation.target)?;
            check_context("relations", &relation.context)?;
        }
        for observation in counted("observations", self.observations.as_deref())? {
            check_word("observations", &observation.category, OBSERVATIONS)?;
            check_entry("observations", &observation.content)?;
            check_context("observations", &observation.context)?;
        }
        if let Some(sentiment) = &self.sentiment {
            check_word("sentiment", sentiment, SENTIMENTS)?;
        }
        counted("facts", self.facts.as_deref())?;
        self.facts = match self.facts {
            Some(facts) => Some(normal_facts(facts)?),
            None => None,
        };
        Ok(self)
    }
}

impl Entities {
    pub fn lists(&self) -> [&Vec<String>; 5] {
        [
            &self.people,
            &self.products,
            &self.companies,
            &self.locations,
            &self.concepts,
        ]
    }
}

/// In the form in which they are compared; of two about the same the last counts.
fn normal_facts(facts: Vec<Fact>) -> Result<Vec<Fact>, VoiceError> {
    let mut kept: Vec<Fact> = Vec::with_capacity(facts.len());
    for fact in facts {
        for part in [&fact.subject, &fact.predicate, &fact.value] {
            check_entry("facts", part)?;
        }
        let fact = Fact {
            subject: facts::subject(&fact.subject),
            predicate: facts::predicate(&fact.predicate),
            value: fact.value.trim().to_string(),
            valid_from: fact.valid_from,
        };
        if fact.subject.is_empty() || fact.predicate.is_empty() {
            return Err(invalid(
                "`facts`: subject and predicate need a letter or digit.",
            ));
        }
        kept.retain(|known| (&known.subject, &known.predicate) != (&fact.subject, &fact.predicate));
        kept.push(fact);
    }
    Ok(kept)
}

fn counted<'a, T>(field: &str, entries: Option<&'a [T]>) -> Result<&'a [T], VoiceError> {
    let entries = entries.unwrap_or_default();
    match entries.len() > DETAIL_ENTRIES_MAX {
        true => Err(invalid(format!(
            "`{field}` has {} entries; at most {DETAIL_ENTRIES_MAX} are allowed.",
            entries.len()
        ))),
        false => Ok(entries),
    }
}

fn check_list(field: &str, entries: Option<&[String]>) -> Result<(), VoiceError> {
    counted(field, entries)?
        .iter()
        .try_for_each(|entry| check_entry(field, entry))
}

fn check_entry(field: &str, text: &str) -> Result<(), VoiceError> {
    check_text(field, text, 1, 4 * DETAIL_CHARS_MAX)?;
    check_context(field, text)
}

fn check_context(field: &str, text: &str) -> Result<(), VoiceError> {
    check_text(field, text, 0, 4 * DETAIL_CHARS_MAX)?;
    match text.chars().count() > DETAIL_CHARS_MAX {
        true => Err(invalid(format!(
            "`{field}`: a text has at most {DETAIL_CHARS_MAX} characters."
        ))),
        false => Ok(()),
    }
}

fn check_word(field: &str, word: &str, allowed: &[&str]) -> Result<(), VoiceError> {
    match allowed.contains(&word) {
        true => Ok(()),
        false => Err(invalid(format!(
            "`{field}` must be one of {}.",
            allowed.join(", ")
        ))),
    }
}

fn invalid(message: impl Into<String>) -> VoiceError {
    VoiceError::Invalid(message.into())
}

impl Day {
    fn parse(text: &str) -> Option<Day> {
        let whole = UnixMillis::parse_rfc3339(text)
            .or_else(|| UnixMillis::parse_rfc3339(&format!("{}T00:00:00Z", text.trim())));
        whole.map(Day)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339())
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        let text = String::deserialize(deserializer)?;
        Day::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("a time must look like 2026-01-02T03:04:05Z or 2026-01-02")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(details: Details) -> String {
        details.check().unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_names_the_field() {
        let many = vec![String::from("x"); DETAIL_ENTRIES_MAX + 1];
        let long = "x".repeat(DETAIL_CHARS_MAX + 1);
        for (details, field) in [
            (
                Details {
                    key_points: Some(many),
                    ..Details::default()
                },
                "`key_points`",
            ),
            (
                Details {
                    action_items: Some(vec![long]),
                    ..Details::default()
                },
                "`action_items`",
            ),
            (
                Details {
                    sentiment: Some(String::from("furious")),
                    ..Details::default()
                },
                "positive, neutral, negative",
            ),
            (
                Details {
                    entities: Some(Entities {
                        people: vec![String::new()],
                        ..Entities::default()
                    }),
                    ..Details::default()
                },
                "`entities`",
            ),
        ] {
            assert!(wrong(details).contains(field), "{field}");
        }
    }

    #[test]
    fn facts_come_into_one_form_and_the_last_of_two_counts() {
        let fact = |subject: &str, value: &str| Fact {
            subject: subject.into(),
            predicate: "密码".into(),
            value: value.into(),
            valid_from: None,
        };
        let details = Details {
            facts: Some(vec![fact("The WiFi", "a"), fact("我家的wifi", " b ")]),
            ..Details::default()
        };
        let facts = details.check().unwrap().facts.unwrap();
        assert_eq!(facts.len(), 1);
        assert_eq!(
            (facts[0].subject.as_str(), facts[0].value.as_str()),
            ("wifi", "b")
        );
        assert_eq!(facts[0].predicate, "password");
    }

    #[test]
    fn a_date_will_do_for_a_time() {
        let day: Day = serde_json::from_str("\"2026-01-02\"").unwrap();
        assert_eq!(day.0.rfc3339(), "2026-01-02T00:00:00.000Z");
        assert!(serde_json::from_str::<Day>("\"soon\"").is_err());
    }
}
