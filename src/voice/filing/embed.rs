//! Vectors for memories that have none of the model in use.

use super::{Filing, Trouble};
use crate::limits::{EMBED_BATCH_ROWS, EMBED_TIMEOUT};
use crate::voice::db;
use crate::voice::db::vectors::Unembedded;
use crate::voice::error::VoiceError;
use crate::voice::providers::EngineError;
use crate::voice::queue::JobKind;
use crate::voice::secrets::secret_in;
use crate::voice::vectors::{Embedder, Vector};

impl Filing {
    pub(super) async fn look_for_vectors(&self) -> Result<(), VoiceError> {
        let Some(embedder) = self.parts.memories.embedder() else {
            return Ok(());
        };
        let model = embedder.model().to_string();
        let subject = model.clone();
        let is_wanted = self
            .parts
            .store
            .query(move |connection| {
                Ok::<_, VoiceError>(
                    !db::vectors::missing(connection, &model, 1)?.is_empty()
                        && !db::filing::has_job(connection, "embed", &model)?,
                )
            })
            .await?;
        match is_wanted {
            true => self.add(JobKind::Embed, subject).await,
            false => Ok(()),
        }
    }

    /// In batches, newest first, until none is missing.
    pub(super) async fn embed_all(&self) -> Result<(), Trouble> {
        loop {
            let Some(embedder) = self.parts.memories.embedder() else {
                return Ok(());
            };
            let model = embedder.model().to_string();
            let missing = self
                .parts
                .store
                .query(move |connection| db::vectors::missing(connection, &model, EMBED_BATCH_ROWS))
                .await?;
            if missing.is_empty() {
                return Ok(());
            }
            let vectors = vectors_of(&embedder, &missing).await?;
            let model = embedder.model().to_string();
            self.parts
                .store
                .write(move |connection| {
                    missing
                        .iter()
                        .zip(&vectors)
                        .try_for_each(|(memory, vector)| {
                            db::vectors::put(connection, &model, memory, vector.as_ref())
                        })
                })
                .await?;
        }
    }
}

/// `None` for what holds a secret and for a text that the service will never take.
async fn vectors_of(
    embedder: &Embedder,
    memories: &[Unembedded],
) -> Result<Vec<Option<Vector>>, EngineError> {
    let texts: Vec<Option<&str>> = memories
        .iter()
        .map(|memory| {
            let text = memory.text.trim();
            (!text.is_empty() && secret_in(text).is_none()).then_some(text)
        })
        .collect();
    let sent: Vec<&str> = texts.iter().copied().flatten().collect();
    if sent.is_empty() {
        return Ok(vec![None; texts.len()]);
    }
    let mut come = match embedder.embed(&sent, EMBED_TIMEOUT).await {
        Ok(vectors) => vectors.into_iter().map(Some).collect::<Vec<_>>(),
        Err(EngineError::Rejected(_)) if sent.len() > 1 => one_by_one(embedder, &sent).await?,
        Err(error) => return Err(error),
    }
    .into_iter();
    Ok(texts
        .iter()
        .map(|text| text.and_then(|_| come.next().flatten()))
        .collect())
}

/// One text may be at fault; when all are refused, it is not the texts.
async fn one_by_one(
    embedder: &Embedder,
    texts: &[&str],
) -> Result<Vec<Option<Vector>>, EngineError> {
    let mut come = Vec::with_capacity(texts.len());
    let mut refused = None;
    for text in texts {
        match embedder.embed(&[*text], EMBED_TIMEOUT).await {
            Ok(vectors) => come.push(vectors.into_iter().next()),
            Err(error @ EngineError::Rejected(_)) => {
                come.push(None);
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if come.iter().all(Option::is_none) => Err(error),
        _ => Ok(come),
    }
}
