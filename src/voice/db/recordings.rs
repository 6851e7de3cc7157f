//! Recordings, their pieces, and what became of them.

use crate::clock::UnixMillis;
use crate::store::{Connection, OptionalExtension, Row, params};
use crate::voice::error::VoiceError;
use crate::voice::recordings::{Kept, Mode, Origin, Recorded, State, reply_job, stt_job};

use super::jobs::total;

/// A row for a file that is whole on disk; the row of a memo that was still recorded is filled in.
pub fn keep(connection: &Connection, kept: &Kept, now: UnixMillis) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "INSERT INTO recordings
                (id, file, format, origin, mode, state, bytes, duration_ms, hash, client_id,
                 conversation_id, language, speak, recorded_at, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15)
             ON CONFLICT (id) DO UPDATE SET
                file = excluded.file, state = excluded.state, bytes = excluded.bytes,
                duration_ms = excluded.duration_ms, hash = excluded.hash,
                updated_at = excluded.updated_at
             WHERE state IN ('recording', 'waiting')",
        )?
        .execute(params![
            kept.id,
            kept.file,
            kept.format,
            kept.origin.name(),
            kept.mode.name(),
            kept.state.name(),
            kept.bytes as i64,
            kept.duration_ms.map(|ms| ms as i64),
            kept.hash.map(|hash| hash.to_vec()),
            kept.client_id,
            kept.conversation_id,
            kept.language,
            if kept.speak { "return" } else { "none" },
            kept.recorded_at.0,
            now.0
        ])?;
    Ok(())
}

/// A row for a memo whose sound is still coming: what a power cut leaves of it is known by it.
pub fn begin(connection: &Connection, kept: &Kept, now: UnixMillis) -> Result<(), VoiceError> {
    let begun = Kept {
        state: State::Recording,
        ..kept.clone()
    };
    keep(connection, &begun, now)
}

macro_rules! columns {
    () => {
        "SELECT id, file, format, mode, state, bytes, duration_ms, conversation_id, language, text,
            memory_id, result, recorded_at FROM recordings "
    };
}

fn read(row: &Row) -> Result<Recorded, VoiceError> {
    let (mode, state): (String, String) = (row.get(3)?, row.get(4)?);
    let duration_ms: Option<i64> = row.get(6)?;
    let result: Option<String> = row.get(11)?;
    Ok(Recorded {
        id: row.get(0)?,
        file: row.get(1)?,
        format: row.get(2)?,
        mode: Mode::parse(&mode).unwrap_or(Mode::Note),
        state: State::parse(&state),
        bytes: row.get::<_, i64>(5)?.max(0) as u64,
        duration_ms: duration_ms.map(|ms| ms.max(0) as u64),
        conversation_id: row.get(7)?,
        language: row.get(8)?,
        text: row.get(9)?,
        memory_id: row.get(10)?,
        result: result.and_then(|json| serde_json::from_str(&json).ok()),
        recorded_at: UnixMillis(row.get(12)?),
    })
}

pub fn get(connection: &Connection, id: &str) -> Result<Option<Recorded>, VoiceError> {
    let mut statement = connection.prepare_cached(concat!(columns!(), "WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read).transpose()
}

pub fn of_client(connection: &Connection, client_id: &str) -> Result<Option<Recorded>, VoiceError> {
    let mut statement = connection.prepare_cached(concat!(columns!(), "WHERE client_id = ?1"))?;
    let mut rows = statement.query([client_id])?;
    rows.next()?.map(read).transpose()
}

/// What the last run left unfinished.
pub fn unfinished(connection: &Connection) -> Result<Vec<Recorded>, VoiceError> {
    let mut statement = connection.prepare_cached(concat!(
        columns!(),
        "WHERE state IN ('recording', 'waiting') ORDER BY created_at"
    ))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Those that wait for nobody.
#[cfg(test)]
pub fn unattended(connection: &Connection) -> Result<Vec<String>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM recordings WHERE state IN ('recording', 'waiting')
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE recording_id = recordings.id)",
    )?;
    let ids = statement.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Those that wait to be understood and have no job, oldest first.
pub fn without_job(connection: &Connection, limit: usize) -> Result<Vec<String>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM recordings WHERE state = 'waiting'
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE kind = 'stt' AND subject = recordings.id)
         ORDER BY created_at LIMIT ?1",
    )?;
    let ids = statement.query_map([limit as i64], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Files that rows know of.
pub fn known_file(connection: &Connection, id: &str) -> Result<Option<Option<String>>, VoiceError> {
    Ok(connection
        .prepare_cached("SELECT file FROM recordings WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?)
}

/// The sound is understood.
pub fn transcribed(
    connection: &Connection,
    id: &str,
    text: &str,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE recordings SET state = 'done', text = ?2, updated_at = ?3 WHERE id = ?1",
        )?
        .execute(params![id, text, now.0])?;
    Ok(())
}

/// Nothing is left to be done: the words, what memory they made, and what their client was told.
/// What was forgotten meanwhile stays so.
pub fn answered(
    connection: &Connection,
    id: &str,
    text: &str,
    memory_id: Option<&str>,
    result: Option<&serde_json::Value>,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE recordings SET state = 'done', text = ?2, memory_id = coalesce(?3, memory_id),
                result = coalesce(?4, result), updated_at = ?5
             WHERE id = ?1 AND NOT (state = 'done' AND text IS NULL)",
        )?
        .execute(params![
            id,
            text,
            memory_id,
            result.map(ToString::to_string),
            now.0
        ])?;
    super::jobs::end_of_recording(connection, id, now)
}

/// Understood, and to be answered by a job of the queue.
pub fn to_be_answered(
    connection: &Connection,
    id: &str,
    text: &str,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    transcribed(connection, id, text, now)?;
    super::jobs::ensure(connection, &reply_job(id), now)
}

/// Still to be understood; by a job unless one has given it up.
pub fn to_be_understood(
    connection: &Connection,
    id: &str,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    super::jobs::ensure(connection, &stt_job(id), now)?;
    connection
        .prepare_cached(
            "UPDATE recordings SET state = 'failed', updated_at = ?2
             WHERE id = ?1 AND state = 'waiting' AND EXISTS
                (SELECT 1 FROM jobs WHERE kind = 'stt' AND subject = ?1 AND state = 'failed')",
        )?
        .execute(params![id, now.0])?;
    Ok(())
}

/// Whether its words are still wanted.
pub fn is_waiting(connection: &Connection, id: &str) -> Result<bool, VoiceError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM recordings WHERE id = ?1 AND state = 'waiting'")?
        .exists([id])?)
}

/// Nobody will try again by himself.
pub fn given_up(connection: &Connection, id: &str, now: UnixMillis) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE recordings SET state = 'failed', updated_at = ?2
             WHERE id = ?1 AND state = 'waiting'",
        )?
        .execute(params![id, now.0])?;
    Ok(())
}

/// Whether it is still being recorded or waits.
pub fn is_unfinished(connection: &Connection, id: &str) -> Result<bool, VoiceError> {
    Ok(connection
        .prepare_cached(
            "SELECT 1 FROM recordings WHERE id = ?1 AND state IN ('recording', 'waiting')",
        )?
        .exists([id])?)
}

/// As if it had never been: a false start, or sound that nobody was told is here.
pub fn delete(connection: &Connection, id: &str) -> Result<(), VoiceError> {
    connection
        .prepare_cached("DELETE FROM recordings WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// The file of an unfinished recording is not there any more.
pub fn sound_lost(connection: &Connection, id: &str, now: UnixMillis) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE recordings SET file = NULL, state = 'waiting', updated_at = ?2 WHERE id = ?1",
        )?
        .execute(params![id, now.0])?;
    to_be_understood(connection, id, now)
}

/// A file that was found again: how much of it there is.
pub fn measured(
    connection: &Connection,
    id: &str,
    bytes: u64,
    duration_ms: Option<u64>,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE recordings SET state = 'waiting', bytes = ?2,
                duration_ms = coalesce(?3, duration_ms), updated_at = ?4 WHERE id = ?1",
        )?
        .execute(params![
            id,
            bytes as i64,
            duration_ms.map(|ms| ms as i64),
            now.0
        ])?;
    Ok(())
}

pub fn set_length(
    connection: &Connection,
    id: &str,
    duration_ms: u64,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached("UPDATE recordings SET duration_ms = ?2, updated_at = ?3 WHERE id = ?1")?
        .execute(params![id, duration_ms as i64, now.0])?;
    Ok(())
}

/// Lets go of a recording's sound; the name of the file that may be removed now.
pub fn drop_sound(
    connection: &Connection,
    id: &str,
    now: UnixMillis,
) -> Result<Option<String>, VoiceError> {
    let file = known_file(connection, id)?.flatten();
    connection
        .prepare_cached(
            "UPDATE recordings SET file = NULL, state = 'done', updated_at = ?2 WHERE id = ?1",
        )?
        .execute(params![id, now.0])?;
    super::jobs::delete_stt(connection, id)?;
    let was_reply = connection
        .prepare_cached("DELETE FROM recordings WHERE id = ?1 AND origin = 'reply'")?
        .execute([id])?;
    if was_reply > 0 {
        connection
            .prepare_cached("UPDATE messages SET recording_id = NULL WHERE recording_id = ?1")?
            .execute([id])?;
    }
    Ok(file)
}

/// Words and pieces of recordings go, and their sound unless that is to be kept; the files that may
/// be removed now. The rows stay: the same upload again is none that is new.
pub fn forget(
    connection: &Connection,
    ids: &[String],
    keep_sound: bool,
    now: UnixMillis,
) -> Result<Vec<String>, VoiceError> {
    let mut files = Vec::new();
    for id in ids {
        if !keep_sound {
            files.extend(drop_sound(connection, id, now)?);
        }
        connection
            .prepare_cached(
                "UPDATE recordings SET text = NULL, result = NULL, memory_id = NULL,
                    updated_at = ?2 WHERE id = ?1",
            )?
            .execute(params![id, now.0])?;
        connection
            .prepare_cached("DELETE FROM recording_pieces WHERE recording_id = ?1")?
            .execute([id])?;
    }
    Ok(files)
}

/// The sound of an answer: it goes with the answer's message.
pub fn keep_reply(
    connection: &Connection,
    kept: &Kept,
    message: &str,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    keep(connection, kept, now)?;
    connection
        .prepare_cached("UPDATE messages SET recording_id = ?2 WHERE id = ?1")?
        .execute([message, &kept.id])?;
    Ok(())
}

/// Understood sound that is older than `before`, or the oldest beyond `bytes_max`; at most `limit`.
pub fn outlived(
    connection: &Connection,
    before: UnixMillis,
    bytes_max: u64,
    limit: usize,
) -> Result<Vec<String>, VoiceError> {
    let mut surplus = total(connection, "sound_kept")?.saturating_sub(bytes_max);
    let mut statement = connection.prepare_cached(
        "SELECT id, bytes, created_at FROM recordings
         WHERE file IS NOT NULL AND state = 'done' ORDER BY created_at LIMIT ?1",
    )?;
    let mut rows = statement.query([limit as i64])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes = row.get::<_, i64>(1)?.max(0) as u64;
        if surplus == 0 && row.get::<_, i64>(2)? >= before.0 {
            break;
        }
        surplus = surplus.saturating_sub(bytes);
        ids.push(row.get(0)?);
    }
    Ok(ids)
}

/// Rows from before the clock was set count from now on.
pub fn adopt_time(
    connection: &Connection,
    sane: UnixMillis,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached("UPDATE recordings SET created_at = ?2 WHERE created_at < ?1")?
        .execute([sane.0, now.0])?;
    Ok(())
}

/// Text of the pieces that are done, in order, and whether one is missing before `count`.
pub fn pieces(
    connection: &Connection,
    id: &str,
) -> Result<Vec<(i64, i64, Option<String>)>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT from_sample, to_sample, text FROM recording_pieces
         WHERE recording_id = ?1 ORDER BY number",
    )?;
    let mut rows = statement.query([id])?;
    let mut pieces = Vec::new();
    while let Some(row) = rows.next()? {
        pieces.push((row.get(0)?, row.get(1)?, row.get(2)?));
    }
    Ok(pieces)
}

/// Where a long memo is cut; kept as first decided, so that a restart cuts at the same places.
pub fn set_pieces(
    connection: &Connection,
    id: &str,
    cuts: &[(i64, i64)],
) -> Result<(), VoiceError> {
    for (number, (from, to)) in cuts.iter().enumerate() {
        connection
            .prepare_cached(
                "INSERT INTO recording_pieces (recording_id, number, from_sample, to_sample)
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?
            .execute(params![id, number as i64, from, to])?;
    }
    Ok(())
}

pub fn set_piece_text(
    connection: &Connection,
    id: &str,
    number: usize,
    text: &str,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE recording_pieces SET text = ?3 WHERE recording_id = ?1 AND number = ?2",
        )?
        .execute(params![id, number as i64, text])?;
    Ok(())
}

/// Bytes of sound that waits to be understood.
pub fn waiting_bytes(connection: &Connection) -> Result<u64, VoiceError> {
    total(connection, "sound_waiting")
}

impl Origin {
    pub fn name(self) -> &'static str {
        match self {
            Origin::Device => "device",
            Origin::Socket => "ws",
            Origin::Upload => "upload",
            Origin::Reply => "reply",
        }
    }
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Recording => "recording",
            State::Waiting => "waiting",
            State::Done => "done",
            State::Failed => "failed",
        }
    }

    fn parse(name: &str) -> State {
        match name {
            "recording" => State::Recording,
            "done" => State::Done,
            "failed" => State::Failed,
            _ => State::Waiting,
        }
    }
}
