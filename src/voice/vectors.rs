//! Search by meaning: vectors of an OpenAI-compatible `/embeddings`, kept as signed bytes.
//!
//! Optional. A vector is brought to length one, so that the product of two is how alike they are,
//! and stored with one byte for each dimension: the order of the nearest hardly changes and a
//! walk over 20,000 of them is quick. No secret is ever sent.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::db;
use super::error::VoiceError;
use super::providers::EngineError;
use super::settings::ApiKey;
use crate::limits::{
    EMBED_ANSWER_BYTES_MAX, EMBED_TEXT_CHARS_MAX, EMBED_TIMEOUT, VECTOR_DIMENSIONS_MAX,
};
use crate::outbound::{CallError, CallLimits, CallRequest, Outbound};
use crate::server::{HeaderMap, HeaderValue, Method, header};
use crate::store::Connection;

/// A neighbour less alike than this is none.
const ALIKE_MIN: f32 = 0.3;

/// Where vectors come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedSettings {
    /// Up to before `/embeddings`.
    pub base_url: String,
    pub model: String,
    pub key: Option<ApiKey>,
}

/// Asks for vectors.
pub struct Embedder {
    outbound: Outbound,
    settings: EmbedSettings,
}

/// Length one; each dimension is `scale` times its byte.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    scale: f32,
    parts: Vec<i8>,
}

impl Embedder {
    pub fn new(outbound: Outbound, settings: EmbedSettings) -> Embedder {
        Embedder { outbound, settings }
    }

    /// Vectors of two models cannot be compared.
    pub fn model(&self) -> &str {
        &self.settings.model
    }

    /// One vector for each text, in order.
    pub async fn embed(
        &self,
        texts: &[&str],
        within: Duration,
    ) -> Result<Vec<Vector>, EngineError> {
        let cut: Vec<String> = texts
            .iter()
            .map(|text| text.chars().take(EMBED_TEXT_CHARS_MAX).collect())
            .collect();
        let body =
            json!({ "model": self.settings.model, "input": cut, "encoding_format": "float" });
        let answer = self
            .outbound
            .call(CallRequest {
                method: Method::POST,
                url: format!(
                    "{}/embeddings",
                    self.settings.base_url.trim_end_matches('/')
                ),
                headers: self.headers()?,
                body: Bytes::from(body.to_string()),
                limits: CallLimits {
                    first_byte: within,
                    total: within,
                    answer_bytes_max: EMBED_ANSWER_BYTES_MAX,
                    ..CallLimits::default()
                },
            })
            .await
            .map_err(call_error)?;
        let status = answer.status.as_u16();
        if status != 200 {
            let what = format!("the embedding service answered {status}");
            return Err(match status {
                429 | 529 => EngineError::Limited {
                    what,
                    retry_after: retry_after(&answer.headers),
                },
                408 | 500.. => EngineError::Broken(what),
                _ => EngineError::Rejected(what),
            });
        }
        read(&answer.body, texts.len())
    }

    fn headers(&self) -> Result<HeaderMap, EngineError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(key) = &self.settings.key {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", key.reveal())).map_err(|_| {
                    EngineError::Rejected(String::from(
                        "the embedding key has a character that no key has",
                    ))
                })?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

impl Vector {
    /// `None` for what has no direction or more dimensions than are stored.
    pub fn of(values: &[f32]) -> Option<Vector> {
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let largest = values
            .iter()
            .fold(0.0f32, |most, value| most.max(value.abs()));
        let usable = length.is_finite() && length > f32::MIN_POSITIVE && !values.is_empty();
        if !usable || values.len() > VECTOR_DIMENSIONS_MAX {
            return None;
        }
        let step = largest / 127.0;
        Some(Vector {
            scale: step / length,
            parts: values
                .iter()
                .map(|value| (value / step).round() as i8)
                .collect(),
        })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + self.parts.len());
        bytes.extend_from_slice(&self.scale.to_le_bytes());
        bytes.extend(self.parts.iter().map(|part| *part as u8));
        bytes
    }

    /// How alike a stored vector is, -1 to 1; `None` for one of another length.
    pub fn likeness(&self, stored: &[u8]) -> Option<f32> {
        let (scale, parts) = stored.split_first_chunk::<4>()?;
        if parts.len() != self.parts.len() {
            return None;
        }
        let product: i32 = self
            .parts
            .iter()
            .zip(parts)
            .map(|(a, b)| i32::from(*a) * i32::from(*b as i8))
            .sum();
        Some(product as f32 * self.scale * f32::from_le_bytes(*scale))
    }
}

/// The memories nearest to a vector, nearest first; on the query thread.
pub fn nearest(
    connection: &Connection,
    model: &str,
    wanted: &Vector,
    limit: usize,
) -> Result<Vec<i64>, VoiceError> {
    let mut best: Vec<(f32, i64)> = Vec::with_capacity(2 * limit);
    db::vectors::each(connection, model, |seq, stored| {
        let Some(alike) = wanted.likeness(stored).filter(|alike| *alike >= ALIKE_MIN) else {
            return;
        };
        best.push((alike, seq));
        if best.len() >= 2 * limit.max(1) {
            sort(&mut best);
            best.truncate(limit);
        }
    })?;
    sort(&mut best);
    best.truncate(limit);
    Ok(best.into_iter().map(|(_, seq)| seq).collect())
}

fn sort(best: &mut [(f32, i64)]) {
    best.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    embedding: Vec<f32>,
    #[serde(default)]
    index: Option<usize>,
}

/// Exactly one usable vector for each text, put in order by `index`.
fn read(body: &[u8], count: usize) -> Result<Vec<Vector>, EngineError> {
    let wrong =
        |what: String| EngineError::Broken(format!("the embedding service's answer: {what}"));
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| wrong(format!("no list of vectors ({error})")))?;
    if answer.data.len() != count {
        return Err(wrong(format!(
            "{} vectors for {count} texts",
            answer.data.len()
        )));
    }
    let mut placed: Vec<Option<Vector>> = vec![None; count];
    for (at, item) in answer.data.into_iter().enumerate() {
        let place = placed
            .get_mut(item.index.unwrap_or(at))
            .filter(|place| place.is_none())
            .ok_or_else(|| wrong(String::from("an index is there twice or out of range")))?;
        let vector = Vector::of(&item.embedding);
        *place = Some(vector.ok_or_else(|| wrong(String::from("a vector without direction")))?);
    }
    Ok(placed.into_iter().flatten().collect())
}

fn call_error(error: CallError) -> EngineError {
    match error {
        CallError::Busy => EngineError::Busy,
        CallError::Timeout(_) => EngineError::Timeout(EMBED_TIMEOUT),
        CallError::Connect(_) | CallError::Tls(_) => EngineError::Unreachable(error.to_string()),
        CallError::Broken(_) => EngineError::Broken(error.to_string()),
        CallError::TooLarge | CallError::Invalid(_) => EngineError::Rejected(error.to_string()),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    Some(Duration::from_secs(seconds.parse().ok()?).min(crate::limits::RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_needs_one_vector_for_each_text() {
        let good = br#"{"object":"list","data":[{"index":1,"embedding":[0,1]},{"index":0,"embedding":[1,0]}],"model":"m"}"#;
        let vectors = read(good, 2).unwrap();
        assert_eq!(vectors[0].parts, [127, 0]);
        for (body, count) in [
            (&b"{}"[..], 1),
            (&br#"{"data":[]}"#[..], 1),
            (&br#"{"data":[{"embedding":[0,0]}]}"#[..], 1),
            (&br#"{"data":[{"embedding":[]}]}"#[..], 1),
            (&br#"{"data":[{"index":7,"embedding":[1]}]}"#[..], 1),
            (
                &br#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#[..],
                2,
            ),
            (&br#"{"data":[{"embedding":["x"]}]}"#[..], 1),
        ] {
            assert!(
                read(body, count).is_err(),
                "{}",
                String::from_utf8_lossy(body)
            );
        }
    }

    proptest! {
        #[test]
        fn bytes_keep_how_alike_two_vectors_are(
            a in proptest::collection::vec(-1.0f32..1.0, 64), b in proptest::collection::vec(-1.0f32..1.0, 64),
        ) {
            let (Some(one), Some(other)) = (Vector::of(&a), Vector::of(&b)) else { return Ok(()); };
            let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
            let exact = a.iter().zip(&b).map(|(x, y)| x * y).sum::<f32>() / norm(&a) / norm(&b);
            let kept = one.likeness(&other.to_bytes()).unwrap();
            prop_assert!((exact - kept).abs() < 0.02, "{} {}", exact, kept);
            prop_assert!(one.likeness(&one.to_bytes()).unwrap() > 0.98);
        }

        #[test]
        fn no_stored_bytes_break_the_comparison(stored in proptest::collection::vec(any::<u8>(), 0..80)) {
            let one = Vector::of(&[1.0, -0.5, 0.25]).unwrap();
            let _ = one.likeness(&stored);
        }
    }
}
