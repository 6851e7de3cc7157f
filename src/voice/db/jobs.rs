//! Jobs of the queue.

use std::time::Duration;

use serde::Serialize;

use super::{Time, push_json};
use crate::clock::UnixMillis;
use crate::limits::{JOB_ERROR_CHARS_MAX, JOB_PAYLOAD_BYTES_MAX, JOB_WAIT_MAX, JOBS_MAX};
use crate::store::{Connection, OptionalExtension, Row, params};
use crate::voice::error::VoiceError;
use crate::voice::memory::Page;
use crate::voice::queue::{Fate, Job, JobKind, NewJob, QueueHealth, Settled};

const INSERT: &str = "INSERT INTO jobs
    (id, kind, subject, state, next_at, recording_id, payload, created_at, updated_at)
    VALUES (?1, ?2, ?3, 'queued', ?4, ?5, ?6, ?4, ?4)
    ON CONFLICT (kind, subject) DO UPDATE SET
        revision = revision + 1, payload = excluded.payload, updated_at = excluded.updated_at,
        state = CASE state WHEN 'running' THEN 'running' ELSE 'queued' END,
        attempts = CASE WHEN state IN ('done', 'failed') THEN 0 ELSE attempts END,
        waited_ms = CASE WHEN state IN ('done', 'failed') THEN 0 ELSE waited_ms END,
        is_aside = CASE WHEN state IN ('done', 'failed') THEN 0 ELSE is_aside END,
        last_error = CASE WHEN state IN ('done', 'failed') THEN NULL ELSE last_error END
    RETURNING id";

/// As [`INSERT`], but what waits, runs or was given up stays as it is.
const ENSURE: &str = "INSERT INTO jobs
    (id, kind, subject, state, next_at, recording_id, payload, created_at, updated_at)
    VALUES (?1, ?2, ?3, 'queued', ?4, ?5, ?6, ?4, ?4)
    ON CONFLICT (kind, subject) DO UPDATE SET
        state = 'queued', attempts = 0, waited_ms = 0, is_aside = 0, last_error = NULL,
        next_at = excluded.next_at, updated_at = excluded.updated_at
    WHERE state = 'done'";

/// Adds a job, or asks for the same one again; its id. Call `Queue::wake` after the commit.
pub fn insert(
    connection: &Connection,
    job: &NewJob,
    now: UnixMillis,
) -> Result<String, VoiceError> {
    check_room(connection)?;
    let payload = payload_of(job)?;
    Ok(connection.prepare_cached(INSERT)?.query_row(
        params![
            NewJob::fresh_id(),
            job.kind.name(),
            job.subject,
            now.0,
            job.recording_id,
            payload
        ],
        |row| row.get(0),
    )?)
}

/// Adds a job unless it is there and not done. Call `Queue::wake` after the commit.
pub fn ensure(connection: &Connection, job: &NewJob, now: UnixMillis) -> Result<(), VoiceError> {
    let is_there = connection
        .prepare_cached("SELECT 1 FROM jobs WHERE kind = ?1 AND subject = ?2")?
        .exists(params![job.kind.name(), job.subject])?;
    if !is_there {
        check_room(connection)?;
    }
    connection.prepare_cached(ENSURE)?.execute(params![
        NewJob::fresh_id(),
        job.kind.name(),
        job.subject,
        now.0,
        job.recording_id,
        payload_of(job)?
    ])?;
    Ok(())
}

fn check_room(connection: &Connection) -> Result<(), VoiceError> {
    if health(connection)?.pending >= JOBS_MAX {
        return Err(VoiceError::Full(format!(
            "{JOBS_MAX} jobs wait already; wait until some are done, or delete some"
        )));
    }
    Ok(())
}

fn payload_of(job: &NewJob) -> Result<String, VoiceError> {
    let payload = job.payload.to_string();
    if payload.len() > JOB_PAYLOAD_BYTES_MAX {
        return Err(VoiceError::Invalid(format!(
            "the work is described in {} bytes, at most {JOB_PAYLOAD_BYTES_MAX} are kept",
            payload.len()
        )));
    }
    Ok(payload)
}

/// Jobs that ran when the power went are queued again; how many of the kind wait.
pub fn requeue(connection: &Connection, kind: JobKind, now: UnixMillis) -> Result<u64, VoiceError> {
    connection
        .prepare_cached(
            "UPDATE jobs SET state = 'queued', next_at = ?2, updated_at = ?2
             WHERE kind = ?1 AND state = 'running'",
        )?
        .execute(params![kind.name(), now.0])?;
    let left: i64 = connection
        .prepare_cached("SELECT count(*) FROM jobs WHERE kind = ?1 AND state = 'queued'")?
        .query_row([kind.name()], |row| row.get(0))?;
    Ok(left as u64)
}

/// The oldest job of the kind behind `after` whose time has come. A time further away than any
/// wait was written by another clock and is not waited for.
const NEXT: &str = "SELECT id, subject, recording_id, payload, attempts, created_at, seq, revision,
        waited_ms, is_aside
    FROM jobs
    WHERE kind = ?1 AND state = 'queued' AND seq > ?2
      AND (is_aside = 0 OR next_at <= ?3 OR next_at > ?3 + ?4)
    ORDER BY seq LIMIT 1";

pub fn next(
    connection: &Connection,
    kind: JobKind,
    after: i64,
    now: UnixMillis,
) -> Result<Option<Job>, VoiceError> {
    let too_far = JOB_WAIT_MAX.as_millis() as i64 * 2;
    let mut statement = connection.prepare_cached(NEXT)?;
    let found = statement.query_row(params![kind.name(), after, now.0, too_far], |row| {
        let payload: String = row.get(3)?;
        let waited_ms: i64 = row.get(8)?;
        Ok(Job {
            id: row.get(0)?,
            kind,
            subject: row.get(1)?,
            recording_id: row.get(2)?,
            payload: serde_json::from_str(&payload).unwrap_or_default(),
            attempts: row.get(4)?,
            created_at: UnixMillis(row.get(5)?),
            seq: row.get(6)?,
            revision: row.get(7)?,
            waited: Duration::from_millis(waited_ms.max(0) as u64),
            is_aside: row.get(9)?,
        })
    });
    Ok(found.optional()?)
}

/// `false`: the job is no longer queued.
pub fn begin(connection: &Connection, id: &str, now: UnixMillis) -> Result<bool, VoiceError> {
    let changed = connection
        .prepare_cached(
            "UPDATE jobs SET state = 'running', updated_at = ?2
             WHERE id = ?1 AND state = 'queued'",
        )?
        .execute(params![id, now.0])?;
    Ok(changed == 1)
}

/// What became of a try. Work that was asked for again meanwhile is queued again whatever it was.
const SETTLE: &str = "UPDATE jobs SET
        state = CASE WHEN revision = ?2 THEN ?3 ELSE 'queued' END,
        attempts = CASE WHEN revision = ?2 THEN attempts + 1 ELSE 0 END,
        waited_ms = CASE WHEN revision = ?2 THEN waited_ms + ?4 ELSE 0 END,
        is_aside = CASE WHEN revision = ?2 THEN ?5 ELSE 0 END,
        next_at = ?6, last_error = ?7, updated_at = ?8
    WHERE id = ?1 AND state = 'running'";

pub fn settle(
    connection: &Connection,
    job: &Job,
    settled: &Settled,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    let (state, wait, is_aside, why) = match &settled.fate {
        Fate::Done => ("done", Duration::ZERO, false, None),
        Fate::Failed(why) => ("failed", Duration::ZERO, false, Some(short(why))),
        Fate::Again {
            why,
            wait,
            is_aside,
        } => ("queued", *wait, *is_aside, Some(short(why))),
    };
    let wait_ms = wait.as_millis() as i64;
    if state == "failed" && job.kind == JobKind::Stt {
        super::recordings::given_up(connection, &job.subject, now)?;
    }
    connection.prepare_cached(SETTLE)?.execute(params![
        job.id,
        job.revision,
        state,
        wait_ms,
        is_aside,
        now.0 + wait_ms,
        why,
        now.0
    ])?;
    if let Some((head, wait)) = settled.aside {
        connection
            .prepare_cached(
                "UPDATE jobs SET is_aside = 1, next_at = ?2 WHERE seq = ?1 AND state = 'queued'",
            )?
            .execute(params![head, now.0 + wait.as_millis() as i64])?;
    }
    Ok(())
}

/// Keeps the newest `kept` rows of work that is done.
pub fn prune(connection: &Connection, kept: u64) -> Result<(), VoiceError> {
    let surplus = total(connection, "done")?.saturating_sub(kept);
    if surplus > 0 {
        connection
            .prepare_cached(
                "DELETE FROM jobs WHERE seq IN
                    (SELECT seq FROM jobs WHERE state = 'done' ORDER BY updated_at, seq LIMIT ?1)",
            )?
            .execute([surplus as i64])?;
    }
    Ok(())
}

/// `false`: there is no such job. One that runs or is done is left as it is.
pub fn retry(connection: &Connection, id: &str, now: UnixMillis) -> Result<bool, VoiceError> {
    connection
        .prepare_cached(
            "UPDATE recordings SET state = 'waiting', updated_at = ?2 WHERE state = 'failed'
             AND id = (SELECT recording_id FROM jobs WHERE id = ?1 AND kind = 'stt')",
        )?
        .execute(params![id, now.0])?;
    let changed = connection
        .prepare_cached(
            "UPDATE jobs SET
                attempts = CASE WHEN state IN ('queued', 'failed') THEN 0 ELSE attempts END,
                waited_ms = CASE WHEN state IN ('queued', 'failed') THEN 0 ELSE waited_ms END,
                is_aside = CASE WHEN state IN ('queued', 'failed') THEN 0 ELSE is_aside END,
                next_at = CASE WHEN state IN ('queued', 'failed') THEN ?2 ELSE next_at END,
                state = CASE state WHEN 'failed' THEN 'queued' ELSE state END,
                updated_at = ?2
             WHERE id = ?1",
        )?
        .execute(params![id, now.0])?;
    Ok(changed == 1)
}

pub fn delete(connection: &Connection, id: &str) -> Result<bool, VoiceError> {
    // Sound whose transcript nobody waits for any more goes by age like the rest.
    connection
        .prepare_cached(
            "UPDATE recordings SET state = 'done' WHERE state IN ('waiting', 'failed') AND id =
                (SELECT recording_id FROM jobs WHERE id = ?1 AND kind = 'stt')",
        )?
        .execute([id])?;
    let gone = connection
        .prepare_cached("DELETE FROM jobs WHERE id = ?1")?
        .execute([id])?;
    Ok(gone == 1)
}

/// The work of a recording that is not done; its id.
pub fn of_recording(connection: &Connection, id: &str) -> Result<Option<String>, VoiceError> {
    Ok(connection
        .prepare_cached(
            "SELECT id FROM jobs WHERE recording_id = ?1 AND state <> 'done' ORDER BY seq LIMIT 1",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?)
}

/// Kind and state of each job of a recording.
#[cfg(test)]
pub fn states_of(connection: &Connection, id: &str) -> Result<Vec<(String, String)>, VoiceError> {
    let mut statement = connection
        .prepare_cached("SELECT kind, state FROM jobs WHERE recording_id = ?1 ORDER BY seq")?;
    let states = statement.query_map([id], |row| row.try_into())?;
    Ok(states.collect::<Result<_, _>>()?)
}

/// Nothing of a recording is left to be done.
pub fn end_of_recording(
    connection: &Connection,
    id: &str,
    now: UnixMillis,
) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE jobs SET state = 'done', last_error = NULL, updated_at = ?2
             WHERE recording_id = ?1 AND kind IN ('stt', 'reply') AND state <> 'done'",
        )?
        .execute(params![id, now.0])?;
    Ok(())
}

/// Sound that is gone needs no transcript.
pub fn delete_stt(connection: &Connection, id: &str) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "DELETE FROM jobs WHERE recording_id = ?1 AND kind = 'stt' AND state <> 'running'",
        )?
        .execute([id])?;
    Ok(())
}

pub fn health(connection: &Connection) -> Result<QueueHealth, VoiceError> {
    let mut health = QueueHealth::default();
    let mut totals = connection.prepare_cached("SELECT name, value FROM queue_totals")?;
    let mut rows = totals.query([])?;
    while let Some(row) = rows.next()? {
        let value = row.get::<_, i64>(1)?.max(0) as u64;
        match row.get_ref(0)?.as_str().unwrap_or_default() {
            "queued" | "running" => health.pending += value,
            "failed" => health.failed += value,
            "sound_waiting" => health.bytes += value,
            _ => {}
        }
    }
    Ok(health)
}

pub fn total(connection: &Connection, name: &str) -> Result<u64, VoiceError> {
    let value: Option<i64> = connection
        .prepare_cached("SELECT value FROM queue_totals WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0).max(0) as u64)
}

/// A job as clients see it.
#[derive(Serialize)]
pub struct JobView {
    id: String,
    kind: String,
    subject: String,
    state: String,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_id: Option<String>,
    /// Of a long recording that is understood piece by piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pieces_done: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pieces: Option<u32>,
    created_at: Time,
    updated_at: Time,
}

macro_rules! view_columns {
    () => {
        "id, kind, subject, state, attempts, next_at, last_error, recording_id, created_at, updated_at,
         (SELECT count(text) FROM recording_pieces p WHERE p.recording_id = jobs.recording_id),
         (SELECT count(*) FROM recording_pieces p WHERE p.recording_id = jobs.recording_id)"
    };
}

impl JobView {
    fn read(row: &Row) -> Result<JobView, VoiceError> {
        let state: String = row.get(3)?;
        let next_at = Time(row.get(5)?);
        let kind: String = row.get(1)?;
        let (pieces_done, pieces): (u32, u32) = (row.get(10)?, row.get(11)?);
        let is_in_pieces = kind == JobKind::Stt.name() && pieces > 0;
        Ok(JobView {
            id: row.get(0)?,
            pieces_done: is_in_pieces.then_some(pieces_done),
            pieces: is_in_pieces.then_some(pieces),
            kind,
            subject: row.get(2)?,
            next_at: (state == "queued").then_some(next_at),
            state,
            attempts: row.get(4)?,
            last_error: row.get(6)?,
            recording_id: row.get(7)?,
            created_at: Time(row.get(8)?),
            updated_at: Time(row.get(9)?),
        })
    }
}

pub fn view(connection: &Connection, id: &str) -> Result<Option<JobView>, VoiceError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        view_columns!(),
        " FROM jobs WHERE id = ?1"
    ))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(JobView::read).transpose()
}

/// `{"jobs":[…],"total":…,"limit":…,"offset":…}`; what waits and failed first, then what is done.
pub fn list_json(
    connection: &Connection,
    state: Option<&str>,
    page: Page,
) -> Result<Vec<u8>, VoiceError> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        view_columns!(),
        " FROM jobs WHERE (?1 IS NULL OR state = ?1)
          ORDER BY state = 'done', CASE state WHEN 'done' THEN -seq ELSE seq END LIMIT ?2 OFFSET ?3"
    ))?;
    let mut rows = statement.query(params![state, page.limit as i64, page.offset as i64])?;
    let mut out = Vec::from(&b"{\"jobs\":["[..]);
    while let Some(row) = rows.next()? {
        if out.last() != Some(&b'[') {
            out.push(b',');
        }
        push_json(&mut out, &JobView::read(row)?)?;
    }
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM jobs WHERE (?1 IS NULL OR state = ?1)")?
        .query_row([state], |row| row.get(0))?;
    let tail = format!(
        "],\"total\":{count},\"limit\":{},\"offset\":{}}}",
        page.limit, page.offset
    );
    out.extend_from_slice(tail.as_bytes());
    Ok(out)
}

fn short(why: &str) -> String {
    why.chars().take(JOB_ERROR_CHARS_MAX).collect()
}
