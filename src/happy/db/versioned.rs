//! Values that two clients may write: only whoever knows the current version may replace it, and
//! whoever does not is told what is there now.

use serde_json::Value;

use super::{WriteError, accounts};
use crate::clock::UnixMillis;
use crate::store::{Connection, OptionalExtension, params};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    SessionMetadata,
    SessionState,
    MachineMetadata,
    MachineState,
}

impl Field {
    /// As events name it.
    pub const fn name(self) -> &'static str {
        match self {
            Field::SessionMetadata | Field::MachineMetadata => "metadata",
            Field::SessionState => "agentState",
            Field::MachineState => "daemonState",
        }
    }

    const fn table(self) -> &'static str {
        match self {
            Field::SessionMetadata | Field::SessionState => "happy_sessions",
            Field::MachineMetadata | Field::MachineState => "happy_machines",
        }
    }

    /// Narrows a statement to what is not being deleted.
    const fn and_there(self) -> &'static str {
        match self {
            Field::SessionMetadata | Field::SessionState => "AND deleting = 0",
            Field::MachineMetadata | Field::MachineState => "",
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Field::SessionMetadata | Field::MachineMetadata => "metadata",
            Field::SessionState => "agent_state",
            Field::MachineState => "daemon_state",
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Swap {
    /// With the new version and the number of the update that tells of it.
    Done {
        version: i64,
        seq: i64,
    },
    /// What is there at this moment.
    Stale {
        version: i64,
        value: Option<String>,
    },
    Missing,
}

/// A version as a client sends it. A number that can be no version matches none.
pub fn expected(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(whole))
}

fn whole(number: f64) -> i64 {
    let rounded = number as i64;
    if rounded as f64 == number {
        rounded
    } else {
        -1
    }
}

/// Replaces the value when `expected` is its version. A daemon that tells its state is there.
pub fn swap(
    db: &Connection,
    field: Field,
    account: &str,
    id: &str,
    value: Option<&str>,
    expected: i64,
    now: UnixMillis,
) -> Result<Swap, WriteError> {
    let (table, column, and_there) = (field.table(), field.column(), field.and_there());
    let is_there = match field {
        Field::MachineState => ", active = 1, last_active_at = ?5",
        _ => "",
    };
    let before = accounts::stored(db, account)?;
    let changed = db
        .prepare_cached(&format!(
            "UPDATE {table} SET {column} = ?3, {column}_version = {column}_version + 1,
                 updated_at = ?5{is_there}
             WHERE id = ?1 AND account_id = ?2 AND {column}_version = ?4 {and_there}"
        ))?
        .execute(params![id, account, value, expected, now.0])?;
    if changed > 0 {
        // Its weight is counted by now; what makes an account lighter is always taken.
        if accounts::stored(db, account)? > before {
            accounts::want_room(db, account, 0)?;
        }
        let seq = accounts::next_seq(db, account)?;
        let version = expected + 1;
        return Ok(Swap::Done { version, seq });
    }
    let current = db
        .prepare_cached(&format!(
            "SELECT {column}_version, {column} FROM {table}
             WHERE id = ?1 AND account_id = ?2 {and_there}"
        ))?
        .query_row([id, account], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match current {
        Some((version, value)) => Swap::Stale { version, value },
        None => Swap::Missing,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_that_can_be_no_version_matches_none() {
        assert_eq!(expected(&json!(3)), Some(3));
        assert_eq!(expected(&json!(3.0)), Some(3));
        assert_eq!(expected(&json!(3.5)), Some(-1));
        assert_eq!(expected(&json!(1e300)), Some(-1));
        assert_eq!(expected(&json!("3")), None);
        assert_eq!(expected(&Value::Null), None);
    }
}
