//! Timers, alarms and reminders.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::limits::{TIMERS_LIVE_MAX, TIMERS_OVER_KEPT};
use crate::store::{Connection, OptionalExtension, Row, params};
use crate::voice::error::VoiceError;
use crate::voice::memory::Page;
use crate::voice::timers::{Repeat, Timer, TimerKind, TimerState};

const COLUMNS: &str = "id, kind, label, state, due_at, duration_ms, repeat, time_of_day, snoozes, missed_at, language, created_at, updated_at";

/// Writes a timer as it is now and lets the oldest of those that are over go.
pub fn save(connection: &Connection, timer: &Timer) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "INSERT INTO timers (id, kind, label, state, due_at, duration_ms, repeat, time_of_day,
                snoozes, missed_at, language, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (id) DO UPDATE SET
                kind = excluded.kind, label = excluded.label, state = excluded.state,
                due_at = excluded.due_at, duration_ms = excluded.duration_ms,
                repeat = excluded.repeat, time_of_day = excluded.time_of_day,
                snoozes = excluded.snoozes, missed_at = excluded.missed_at,
                language = excluded.language, updated_at = excluded.updated_at",
        )?
        .execute(params![
            timer.id,
            timer.kind.name(),
            timer.label,
            timer.state.name(),
            timer.due_at.0,
            timer.duration.map(|time| time.as_millis() as i64),
            timer.repeat.map(|rule| rule.to_string()),
            timer.time_of_day.map(|time| time.to_string()),
            timer.snoozes,
            timer.missed_at.map(|at| at.0),
            timer.language,
            timer.created_at.0,
            timer.updated_at.0,
        ])?;
    if !timer.state.is_live() {
        connection
            .prepare_cached(
                "DELETE FROM timers WHERE id IN (
                    SELECT id FROM timers WHERE state NOT IN ('pending', 'ringing')
                    ORDER BY updated_at DESC, id LIMIT -1 OFFSET ?1)",
            )?
            .execute([TIMERS_OVER_KEPT as i64])?;
    }
    Ok(())
}

/// Everything that may still ring; read at the start and after an import.
pub fn live(connection: &Connection) -> Result<Vec<Timer>, VoiceError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM timers WHERE state IN ('pending', 'ringing') ORDER BY due_at LIMIT ?1"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([TIMERS_LIVE_MAX as i64], timer)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Live ones first, soonest first; then those that are over, newest first. With the count of all.
pub fn list(
    connection: &Connection,
    state: Option<TimerState>,
    page: Page,
) -> Result<(Vec<Timer>, usize), VoiceError> {
    let state = state.map(TimerState::name);
    let total: i64 = connection
        .prepare_cached("SELECT count(*) FROM timers WHERE ?1 IS NULL OR state = ?1")?
        .query_row([state], |row| row.get(0))?;
    let sql = format!(
        "SELECT {COLUMNS} FROM timers WHERE ?1 IS NULL OR state = ?1
         ORDER BY state NOT IN ('pending', 'ringing'),
            CASE WHEN state IN ('pending', 'ringing') THEN due_at ELSE -updated_at END, id
         LIMIT ?2 OFFSET ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![state, page.limit as i64, page.offset as i64], timer)?;
    Ok((rows.collect::<Result<_, _>>()?, total as usize))
}

pub fn get(connection: &Connection, id: &str) -> Result<Option<Timer>, VoiceError> {
    let sql = format!("SELECT {COLUMNS} FROM timers WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([id], timer).optional()?)
}

/// Whether there was one.
pub fn delete(connection: &Connection, id: &str) -> Result<bool, VoiceError> {
    let mut statement = connection.prepare_cached("DELETE FROM timers WHERE id = ?1")?;
    Ok(statement.execute([id])? > 0)
}

/// Words that this version does not know (written by a later one) become the plainest.
fn timer(row: &Row) -> super::Mapped<Timer> {
    let word = |column| row.get::<_, String>(column);
    let optional = |column| row.get::<_, Option<String>>(column);
    let kind = word(1)?;
    let state = word(3)?;
    let find = |name: &str| TimerKind::ALL.iter().find(|(known, _)| *known == name);
    let find_state = |name: &str| TimerState::ALL.iter().find(|(known, _)| *known == name);
    Ok(Timer {
        id: word(0)?,
        kind: find(&kind).map_or(TimerKind::Reminder, |(_, kind)| *kind),
        label: word(2)?,
        state: find_state(&state).map_or(TimerState::Done, |(_, state)| *state),
        due_at: UnixMillis(row.get(4)?),
        duration: row
            .get::<_, Option<i64>>(5)?
            .map(|ms| Duration::from_millis(ms.max(0) as u64)),
        repeat: optional(6)?.and_then(|rule| Repeat::parse(&rule).ok()),
        time_of_day: optional(7)?.and_then(|time| time.parse().ok()),
        snoozes: row.get(8)?,
        missed_at: row.get::<_, Option<i64>>(9)?.map(UnixMillis),
        language: word(10)?,
        created_at: UnixMillis(row.get(11)?),
        updated_at: UnixMillis(row.get(12)?),
    })
}
