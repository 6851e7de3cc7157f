//! What the last run left: unfinished rows go to the queue, live sound without a row becomes a note,
//! and what nobody was told of goes.

use super::repair::Found;
use super::{Kept, Mode, Origin, Recorded, Recordings, State, stt_job};
use crate::voice::db;
use crate::voice::error::VoiceError;

impl Recordings {
    /// One that cannot be taken up now is looked at again at the next start; the others go on.
    pub(super) async fn adopt(
        &self,
        found: Vec<Found>,
        unfinished: Result<Vec<Recorded>, VoiceError>,
    ) {
        for file in &found {
            if let Err(error) = self.take_in(file).await {
                log::warn!(
                    "event=recording_not_adopted recording={} error=\"{error}\"",
                    file.id
                );
            }
        }
        let unfinished = unfinished.unwrap_or_else(|error| {
            log::warn!("event=recordings_not_adopted error=\"{error}\"");
            Vec::new()
        });
        for row in &unfinished {
            let file = found.iter().find(|file| file.id == row.id);
            if let Err(error) = self.take_up(row, file).await {
                log::warn!(
                    "event=recording_not_adopted recording={} error=\"{error}\"",
                    row.id
                );
            }
        }
        self.queue().wake();
    }

    /// A file that no row speaks of, or whose row has let it go.
    async fn take_in(&self, file: &Found) -> Result<(), VoiceError> {
        let id = file.id.clone();
        let known: Option<Option<String>> = self
            .0
            .store
            .query(move |connection| db::recordings::known_file(connection, &id))
            .await?;
        match known {
            Some(Some(_)) => {}
            Some(None) => self.unlink(&file.file),
            None if file.is_handed_in => self.unlink(&file.file),
            None => {
                let kept = self.adopted(file);
                let job = stt_job(&kept.id);
                self.store(kept, Some(job)).await?;
                log::info!("event=recording_adopted recording={}", file.id);
            }
        }
        Ok(())
    }

    async fn take_up(&self, row: &Recorded, file: Option<&Found>) -> Result<(), VoiceError> {
        let (id, now) = (row.id.clone(), self.0.clock.wall());
        // A file that could not be repaired is there all the same.
        let path = row.file.as_ref().map(|file| self.path_of(file));
        let is_lost = file.is_none() && !path.is_some_and(|path| path.exists());
        // A memo of which nothing had come to the card.
        let is_empty = is_lost && row.state == State::Recording;
        if is_lost && !is_empty {
            log::warn!("event=recording_lost recording={id}");
        }
        let measured = file.map(|file| {
            let length = file.duration.map(|duration| duration.as_millis() as u64);
            (file.bytes, length)
        });
        self.0
            .store
            .write(move |connection| {
                // The queue may have come to it since it was looked for.
                if !db::recordings::is_unfinished(connection, &id)? {
                    return Ok(());
                }
                if is_empty {
                    return db::recordings::delete(connection, &id);
                }
                if is_lost {
                    return db::recordings::sound_lost(connection, &id, now);
                }
                if let Some((bytes, length)) = measured {
                    db::recordings::measured(connection, &id, bytes, length, now)?;
                }
                db::recordings::to_be_understood(connection, &id, now)
            })
            .await
    }

    fn adopted(&self, file: &Found) -> Kept {
        Kept {
            id: file.id.clone(),
            file: file.file.clone(),
            format: file.file.rsplit('.').next().unwrap_or("wav").to_string(),
            origin: Origin::Device,
            // Nobody waits for an answer any more; the words must not be lost.
            mode: Mode::Note,
            state: State::Waiting,
            bytes: file.bytes,
            duration_ms: file.duration.map(|duration| duration.as_millis() as u64),
            hash: None,
            client_id: None,
            conversation_id: None,
            language: None,
            speak: false,
            recorded_at: file.changed_at,
        }
    }
}
