//! Facts of memories, and which memory has been replaced by which.
//!
//! Of all facts about one subject and predicate the newest is the present one, by the time from
//! which it holds and then by the order in which memories came; those that say the same stay.
//! A memory is superseded when every one of its facts is, by the memory with the present value of
//! the newest of them. So whatever supersedes is itself not superseded, and there are no loops.

use super::Mapped;
use crate::clock::UnixMillis;
use crate::store::{Connection, Row, params};
use crate::voice::details::{Day, Fact};
use crate::voice::error::VoiceError;
use crate::voice::facts::same_value;

/// Makes `facts` those of a memory and settles what they replace; inside a transaction.
pub fn set(connection: &Connection, memory_id: &str, facts: &[Fact]) -> Result<(), VoiceError> {
    let mut names = names_of(connection, memory_id)?;
    connection
        .prepare_cached("DELETE FROM facts WHERE memory_id = ?1")?
        .execute([memory_id])?;
    for fact in facts {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO facts (memory_id, subject, predicate, value, valid_from)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                memory_id,
                fact.subject,
                fact.predicate,
                fact.value,
                fact.valid_from.map(|day| day.0.0)
            ])?;
        names.push((fact.subject.clone(), fact.predicate.clone()));
    }
    for name in &names {
        settle(connection, name)?;
    }
    settle_memory(connection, memory_id)
}

/// Removes a memory's facts: what they had replaced holds again.
pub fn remove(connection: &Connection, memory_id: &str) -> Result<(), VoiceError> {
    let names = names_of(connection, memory_id)?;
    connection
        .prepare_cached("DELETE FROM facts WHERE memory_id = ?1")?
        .execute([memory_id])?;
    names.iter().try_for_each(|name| settle(connection, name))
}

/// After a memory was put away or taken back.
pub fn settle_all_of(connection: &Connection, memory_id: &str) -> Result<(), VoiceError> {
    let names = names_of(connection, memory_id)?;
    names.iter().try_for_each(|name| settle(connection, name))
}

pub fn of(connection: &Connection, memory_id: &str) -> Result<Vec<Fact>, VoiceError> {
    let mut statement = connection.prepare_cached(
        "SELECT subject, predicate, value, valid_from FROM facts WHERE memory_id = ?1
         ORDER BY subject, predicate",
    )?;
    let facts = statement.query_map([memory_id], read)?;
    Ok(facts.collect::<Result<_, _>>()?)
}

fn read(row: &Row) -> Mapped<Fact> {
    Ok(Fact {
        subject: row.get(0)?,
        predicate: row.get(1)?,
        value: row.get(2)?,
        valid_from: row.get::<_, Option<i64>>(3)?.map(|at| Day(UnixMillis(at))),
    })
}

type Name = (String, String);

fn names_of(connection: &Connection, memory_id: &str) -> Result<Vec<Name>, VoiceError> {
    let mut statement =
        connection.prepare_cached("SELECT subject, predicate FROM facts WHERE memory_id = ?1")?;
    let names = statement.query_map([memory_id], |row| row.try_into())?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Newest first; what is put away does not compete.
const RIVALS: &str = "SELECT f.memory_id, f.value, m.is_archived
    FROM facts f JOIN memories m ON m.id = f.memory_id
    WHERE f.subject = ?1 AND f.predicate = ?2
    ORDER BY m.is_archived, coalesce(f.valid_from, m.recorded_at, m.created_at) DESC, m.seq DESC";

/// Decides which fact of one name is the present one.
fn settle(connection: &Connection, (subject, predicate): &Name) -> Result<(), VoiceError> {
    let rivals: Vec<(String, String, bool)> = connection
        .prepare_cached(RIVALS)?
        .query_map([subject, predicate], |row| row.try_into())?
        .collect::<Result<_, _>>()?;
    let Some((current, value, _)) = rivals.first().filter(|(_, _, away)| !away) else {
        return Ok(());
    };
    for (memory_id, theirs, away) in &rivals {
        if *away {
            continue;
        }
        let by = (!same_value(theirs, value)).then_some(current);
        connection
            .prepare_cached(
                "UPDATE facts SET superseded_by = ?4
                 WHERE memory_id = ?1 AND subject = ?2 AND predicate = ?3",
            )?
            .execute(params![memory_id, subject, predicate, by])?;
    }
    for (memory_id, _, away) in &rivals {
        if !away {
            settle_memory(connection, memory_id)?;
        }
    }
    Ok(())
}

/// A memory without facts is never superseded; one with any that holds is neither.
fn settle_memory(connection: &Connection, id: &str) -> Result<(), VoiceError> {
    connection
        .prepare_cached(
            "UPDATE memories SET superseded_by = CASE
                WHEN EXISTS (SELECT 1 FROM facts WHERE memory_id = ?1 AND superseded_by IS NULL)
                THEN NULL
                ELSE (SELECT f.superseded_by FROM facts f JOIN memories n ON n.id = f.superseded_by
                      WHERE f.memory_id = ?1 ORDER BY n.seq DESC LIMIT 1) END
             WHERE id = ?1",
        )?
        .execute([id])?;
    Ok(())
}
