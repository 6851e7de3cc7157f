//! What sockets tell of sessions: messages, metadata, the agent's state, heartbeats, the end.

use serde_json::{Value, json};

use super::{Client, answer, name};
use crate::happy::db::messages::{self, NewMessage};
use crate::happy::db::versioned::{self, Field, Swap};
use crate::happy::presence::{Kind, heard_at};
use crate::happy::updates::Recipients;
use crate::happy::{db, id};
use crate::socketio::{Ack, Socket};

impl Client {
    /// Of older clients, without an acknowledgement: a local id is stored once, so they may send
    /// it again.
    pub(super) fn message(&self, socket: &Socket, event: Value) {
        let Some((session, content)) = name(&event, "sid").zip(event["message"].as_str()) else {
            return;
        };
        let (session, content) = (session.to_owned(), content.to_owned());
        let local_id = event["localId"].as_str().map(str::to_owned);
        let (happy, account, sender) = (
            self.happy.clone(),
            self.account.clone(),
            socket.id().clone(),
        );
        self.in_order(socket, async move {
            let now = happy.0.clock.wall();
            let Some(id) = id::new(now) else { return };
            let (owner, of) = (account.to_string(), session.clone());
            let bytes = content.len() + local_id.as_ref().map_or(0, String::len);
            let stored = happy.write_event_in_turn(bytes, move |db| {
                let new = NewMessage {
                    id: id.clone(),
                    local_id: local_id.clone(),
                    content: content.clone(),
                };
                messages::store(db, &owner, &of, vec![new], now)
            });
            let Ok((turn, Some(stored))) = stored.await else {
                return;
            };
            for (seq, message) in stored.told {
                let body = json!({"t": "new-message", "sid": session, "message": message});
                let to = Recipients::Session(session.clone());
                turn.publish_except(&account, seq, body, to, Some(&sender));
            }
        });
    }

    pub(super) fn update_metadata(&self, socket: &Socket, event: Value, ack: Option<Ack>) {
        match event["metadata"].as_str().map(str::to_owned) {
            Some(metadata) => {
                self.swap_session(socket, Field::SessionMetadata, Some(metadata), event, ack);
            }
            None => answer(ack, json!({"result": "error"})),
        }
    }

    pub(super) fn update_state(&self, socket: &Socket, event: Value, ack: Option<Ack>) {
        let state = match event.get("agentState") {
            Some(Value::String(state)) => Some(state.clone()),
            Some(Value::Null) => None,
            _ => return answer(ack, json!({"result": "error"})),
        };
        self.swap_session(socket, Field::SessionState, state, event, ack);
    }

    fn swap_session(
        &self,
        socket: &Socket,
        field: Field,
        value: Option<String>,
        event: Value,
        ack: Option<Ack>,
    ) {
        let error = json!({"result": "error"});
        let Some((session, expected)) =
            name(&event, "sid").zip(versioned::expected(&event["expectedVersion"]))
        else {
            return answer(ack, error);
        };
        let (session, happy, account) =
            (session.to_owned(), self.happy.clone(), self.account.clone());
        self.in_order(socket, async move {
            let swapped = happy
                .swap(field, &account, &session, value.as_deref(), expected)
                .await;
            let told = match swapped {
                Ok((turn, Swap::Done { version, seq })) => {
                    let mut body = json!({"t": "update-session", "id": session});
                    body[field.name()] = json!({"value": value, "version": version});
                    turn.publish(&account, seq, body, Recipients::Session(session));
                    with_value(field, "success", version, value)
                }
                Ok((_, Swap::Stale { version, value })) => {
                    with_value(field, "version-mismatch", version, value)
                }
                Ok((_, Swap::Missing)) | Err(_) => error,
            };
            answer(ack, told);
        });
    }

    pub(super) fn usage_report(&self, socket: &Socket, event: Value, ack: Option<Ack>) {
        let (happy, account) = (self.happy.clone(), self.account.clone());
        self.in_order(socket, async move {
            answer(ack, happy.report_usage(&account, event).await);
        });
    }

    pub(super) fn session_alive(&self, event: &Value) {
        let (happy, account) = (&self.happy, &self.account);
        let Some(at) = heard_at(&event["time"], happy.0.clock.wall()) else {
            return;
        };
        let Some(session) = name(event, "sid") else {
            return;
        };
        if happy.alive(Kind::Session, account, session, at) {
            let thinking = event["thinking"].as_bool().unwrap_or(false);
            happy.session_activity(account, session, true, at, thinking);
        }
    }

    pub(super) fn session_end(&self, socket: &Socket, event: &Value) {
        let now = self.happy.0.clock.wall();
        let Some((session, at)) = name(event, "sid").zip(heard_at(&event["time"], now)) else {
            return;
        };
        let (session, happy, account) =
            (session.to_owned(), self.happy.clone(), self.account.clone());
        self.in_order(socket, async move {
            if !happy.owns(Kind::Session, &account, &session) {
                return;
            }
            happy.session_stops(&session);
            let (owner, of) = (account.to_string(), session.clone());
            let ended = happy.write_event(0, move |db| {
                Ok(db::presence::end_session(db, &owner, &of, at, now)?)
            });
            if let Ok(true) = ended.await {
                happy.session_activity(&account, &session, false, at, false);
            }
        });
    }
}

fn with_value(field: Field, result: &str, version: i64, value: Option<String>) -> Value {
    let mut told = json!({"result": result, "version": version});
    told[field.name()] = json!(value);
    told
}
