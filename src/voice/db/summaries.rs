//! Days told in a few sentences, and what they are made of.

use serde::Serialize;

use super::{Mapped, Time};
use crate::clock::UnixMillis;
use crate::limits::SUMMARY_NOTES_MAX;
use crate::store::{Connection, OptionalExtension, params};
use crate::voice::error::VoiceError;

/// A day as it was told by a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub text: String,
    pub language: String,
    pub model: String,
    pub created_at: UnixMillis,
}

pub fn get(connection: &Connection, date: &str) -> Result<Option<Told>, VoiceError> {
    Ok(connection
        .prepare_cached("SELECT text, language, model, created_at FROM summaries WHERE date = ?1")?
        .query_row([date], |row| {
            Ok(Told {
                text: row.get(0)?,
                language: row.get(1)?,
                model: row.get(2)?,
                created_at: UnixMillis(row.get(3)?),
            })
        })
        .optional()?)
}

pub fn put(connection: &Connection, date: &str, told: &Told) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "INSERT INTO summaries (date, text, language, model, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (date) DO UPDATE SET text = excluded.text, language = excluded.language,
                model = excluded.model, created_at = excluded.created_at",
        )?
        .execute(params![
            date,
            told.text,
            told.language,
            told.model,
            told.created_at.0
        ])?;
    Ok(())
}

/// What was noted and said in a stretch of time, the end excluded.
#[derive(Debug, Default, Serialize)]
pub struct Day {
    pub notes: Vec<Note>,
    pub timers: Vec<DayTimer>,
    pub counts: Counts,
}

#[derive(Debug, Default, Serialize)]
pub struct Counts {
    pub memories: i64,
    /// What people said.
    pub messages: i64,
    pub conversations: i64,
    pub timers: i64,
}

#[derive(Debug, Serialize)]
pub struct Note {
    pub id: String,
    pub title: String,
    pub content: String,
    pub category: String,
    pub(super) created_at: Time,
}

#[derive(Debug, Serialize)]
pub struct DayTimer {
    pub id: String,
    pub kind: String,
    pub label: String,
    pub state: String,
    pub(super) due_at: Time,
}

pub fn day(
    connection: &Connection,
    since: UnixMillis,
    until: UnixMillis,
) -> Result<Day, VoiceError> {
    let span = [since.0, until.0];
    let number = |sql: &str| -> Result<i64, VoiceError> {
        Ok(connection
            .prepare_cached(sql)?
            .query_row(span, |row| row.get(0))?)
    };
    let notes = connection
        .prepare_cached(
            "SELECT id, title, content, category, created_at FROM memories
             WHERE is_archived = 0 AND superseded_by IS NULL AND created_at >= ?1 AND created_at < ?2
             ORDER BY created_at DESC, seq DESC LIMIT ?3",
        )?
        .query_map(
            params![since.0, until.0, SUMMARY_NOTES_MAX as i64],
            |row| -> Mapped<Note> {
                Ok(Note {
                    id: row.get(0)?,
                    title: row.get(1)?,
                    content: row.get(2)?,
                    category: row.get(3)?,
                    created_at: Time(row.get(4)?),
                })
            },
        )?
        .collect::<Result<_, _>>()?;
    let timers = connection
        .prepare_cached(
            "SELECT id, kind, label, state, due_at FROM timers
             WHERE due_at >= ?1 AND due_at < ?2 AND state <> 'cancelled' ORDER BY due_at LIMIT ?3",
        )?
        .query_map(
            params![since.0, until.0, SUMMARY_NOTES_MAX as i64],
            |row| -> Mapped<DayTimer> {
                Ok(DayTimer {
                    id: row.get(0)?,
                    kind: row.get(1)?,
                    label: row.get(2)?,
                    state: row.get(3)?,
                    due_at: Time(row.get(4)?),
                })
            },
        )?
        .collect::<Result<_, _>>()?;
    Ok(Day {
        notes,
        timers,
        counts: Counts {
            memories: number(
                "SELECT count(*) FROM memories
                 WHERE is_archived = 0 AND created_at >= ?1 AND created_at < ?2",
            )?,
            messages: number(
                "SELECT count(*) FROM messages
                 WHERE timestamp >= ?1 AND timestamp < ?2 AND role = 'user'",
            )?,
            conversations: number(
                "SELECT count(DISTINCT conversation_id) FROM messages
                 WHERE timestamp >= ?1 AND timestamp < ?2",
            )?,
            timers: number(
                "SELECT count(*) FROM timers
                 WHERE due_at >= ?1 AND due_at < ?2 AND state <> 'cancelled'",
            )?,
        },
    })
}

/// Whether nothing was noted and nothing said.
pub fn is_empty(
    connection: &Connection,
    since: UnixMillis,
    until: UnixMillis,
) -> Result<bool, VoiceError> {
    let something = connection
        .prepare_cached(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM memories WHERE is_archived = 0
                                    AND created_at >= ?1 AND created_at < ?2)
                OR EXISTS (SELECT 1 FROM messages WHERE timestamp >= ?1 AND timestamp < ?2)",
        )?
        .exists([since.0, until.0])?;
    Ok(!something)
}
