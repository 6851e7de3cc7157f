//! Phones that want to be told when no app is open, and what they would be told.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::answer::{Answer, internal, ok, refusal, store_error};
use super::db::push_tokens::{self, Expected, PushToken};
use super::db::usage;
use super::{Happy, Recipients, call, id};
use crate::clock::MonoMillis;
use crate::limits;
use crate::outbound::{CallLimits, CallRequest, Outbound};
use crate::server::{
    HeaderMap, HeaderValue, HttpError, Method, RateKey, RateLimiter, Request, Router, StatusCode,
    header,
};
use crate::store::StoreError;

pub mod expo;
mod ntfy;
mod receipts;

use expo::Ticket;
pub use ntfy::Topic;

/// Letters of what went wrong, for many phones together.
const WHY_MAX: usize = 300;
const TITLE_MAX: usize = 200;
const BODY_MAX: usize = 500;

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::POST, "/v1/push-tokens", add);
    happy.route(router, Method::GET, "/v1/push-tokens", list);
    happy.route(router, Method::DELETE, "/v1/push-tokens/{token}", remove);
    happy.route(router, Method::POST, "/v1/sessions/{id}/push-event", event);
}

#[derive(Deserialize)]
struct Added {
    token: String,
}

async fn add(happy: Happy, mut request: Request) -> Answer {
    let Added { token } = call::body(&mut request).await?;
    if token.len() > limits::HAPPY_TOKEN_BYTES_MAX {
        return Err(HttpError::invalid("No push token is that long."));
    }
    let account = happy.account(&request.head)?;
    let now = happy.0.clock.wall();
    let id = id::new(now).ok_or_else(internal)?;
    happy
        .0
        .store
        .write(move |db| push_tokens::put(db, &id, &account, &token, now))
        .await
        .map_err(store_error)?;
    ok(json!({"success": true}))
}

async fn list(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .query(move |db| push_tokens::list(db, &account))
        .await
        .map_err(store_error)?;
    ok(json!({"tokens": found}))
}

/// Also where there is none.
async fn remove(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let token = request.param("token").to_owned();
    happy
        .0
        .store
        .write(move |db| push_tokens::remove(db, &account, &token))
        .await
        .map_err(store_error)?;
    ok(json!({"success": true}))
}

/// A moment of a session that a person may want to know of.
#[derive(Deserialize)]
struct Event {
    kind: Kind,
    title: String,
    body: String,
    #[serde(default, deserialize_with = "call::present")]
    data: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Done,
    Permission,
    Question,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Kind::Done => "done",
            Kind::Permission => "permission",
            Kind::Question => "question",
        }
    }
}

impl Event {
    fn check(&self) -> Result<(), HttpError> {
        for (field, text, max) in [
            ("title", &self.title, TITLE_MAX),
            ("body", &self.body, BODY_MAX),
        ] {
            // As JavaScript counts.
            let length = text.encode_utf16().count();
            if !(1..=max).contains(&length) {
                return Err(HttpError::invalid(format!(
                    "{field} has to have 1 to {max} letters."
                )));
            }
        }
        Ok(())
    }
}

/// What a phone is told.
pub struct Note {
    session: String,
    kind: Kind,
    title: String,
    body: String,
    data: Map<String, Value>,
}

impl Note {
    fn data_bytes(&self) -> usize {
        let weight = |(name, value): (&String, &Value)| name.len() + value.to_string().len();
        self.data.iter().map(weight).sum()
    }
}

async fn event(happy: Happy, mut request: Request) -> Answer {
    let event: Event = call::body(&mut request).await?;
    event.check()?;
    let account = happy.account(&request.head)?;
    let note = Note {
        session: request.param("id").to_owned(),
        kind: event.kind,
        title: event.title,
        body: event.body,
        data: event.data.unwrap_or_default(),
    };
    let (owner, session) = (account.clone(), note.session.clone());
    let (is_own, phones) = happy
        .0
        .store
        .query(move |db| -> Result<_, StoreError> {
            Ok((
                usage::is_own_session(db, &owner, &session)?,
                push_tokens::list(db, &owner)?,
            ))
        })
        .await
        .map_err(store_error)?;
    if !is_own {
        return Err(refusal(StatusCode::NOT_FOUND, "Session not found"));
    }
    let told = json!({
        "type": "session-event",
        "sessionId": note.session,
        "kind": note.kind.word(),
        "title": note.title,
        "body": note.body,
        "timestamp": happy.0.clock.wall().0,
    });
    let to = Recipients::Session(note.session.clone());
    happy.ephemeral(&account, told, to);
    let outcome = match happy.is_watched(&account) {
        true => Outcome::Suppressed("active-ui-client"),
        false => {
            happy.tell_aloud(note.kind);
            happy.push(&account, &note, phones).await
        }
    };
    log::info!("event=happy_push kind={} {outcome}", note.kind.word());
    ok(outcome.told())
}

/// The box's own voice. It is given what is asked for and never the words of a terminal: they may
/// be anybody's, and are not for the whole room.
pub trait Aloud {
    fn tell(&self, kind: Kind);
}

/// How phones are reached when no app is looked at: `HAPPY_PUSH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushWay {
    Off,
    Expo { url: String },
    Ntfy(Topic),
}

pub struct Push {
    pub way: PushWay,
    pub outbound: Outbound,
    /// Where the owner wants to hear it.
    pub aloud: Option<Rc<dyn Aloud>>,
    /// When the box spoke last.
    pub spoke: Cell<Option<MonoMillis>>,
    /// Pushes of each account.
    pub often: RateLimiter,
}

/// What became of a push, as terminals are told.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Sent(usize),
    Partial {
        phones: usize,
        delivered: usize,
        why: String,
    },
    Suppressed(&'static str),
    NoPhones,
    Failed(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Outcome::Sent(_) => "sent",
            Outcome::Partial { .. } => "partial",
            Outcome::Suppressed(_) => "suppressed",
            Outcome::NoPhones => "no_tokens",
            Outcome::Failed(_) => "failed",
        }
    }

    fn told(&self) -> Value {
        let mut told = json!({"success": true, "result": self.word()});
        match self {
            Outcome::NoPhones => {}
            Outcome::Sent(phones) => told["tokens"] = json!(phones),
            Outcome::Partial {
                phones,
                delivered,
                why,
            } => {
                told["tokens"] = json!(phones);
                told["delivered"] = json!(delivered);
                told["reason"] = json!(why);
            }
            Outcome::Suppressed(why) => told["reason"] = json!(why),
            Outcome::Failed(why) => told["reason"] = json!(why),
        }
        told
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "result={}", self.word())?;
        match self {
            Outcome::Sent(phones) => write!(f, " phones={phones}"),
            Outcome::Partial {
                phones,
                delivered,
                why,
            } => write!(f, " phones={phones} delivered={delivered} error={why:?}"),
            Outcome::Failed(why) => write!(f, " error={why:?}"),
            Outcome::Suppressed(_) | Outcome::NoPhones => Ok(()),
        }
    }
}

impl Happy {
    /// Says that Claude waits for somebody, now and then: one turn may ask many times.
    fn tell_aloud(&self, kind: Kind) {
        let push = &self.0.push;
        let Some(aloud) = push.aloud.as_ref().filter(|_| kind != Kind::Done) else {
            return;
        };
        let now = self.0.clock.mono();
        let is_fresh = |spoke| now.since(spoke) < limits::HAPPY_ALOUD_AGAIN;
        if !push.spoke.get().is_some_and(is_fresh) {
            push.spoke.set(Some(now));
            aloud.tell(kind);
        }
    }

    async fn push(&self, account: &str, note: &Note, phones: Vec<PushToken>) -> Outcome {
        let push = &self.0.push;
        let has_phones = !phones.is_empty() || matches!(push.way, PushWay::Ntfy(_));
        if !has_phones {
            return Outcome::NoPhones;
        }
        if push.often.take(RateKey::Device(account.into())).is_err() {
            return Outcome::Failed(String::from("Too many pushes in a minute"));
        }
        match &push.way {
            PushWay::Off => Outcome::Failed(String::from("Push is off on this server")),
            PushWay::Ntfy(topic) => match topic.send(&push.outbound, note).await {
                Ok(()) => Outcome::Sent(1),
                Err(why) => Outcome::Failed(why),
            },
            PushWay::Expo { .. } if note.data_bytes() > limits::HAPPY_PUSH_DATA_BYTES_MAX => {
                Outcome::Failed(String::from("Too much data for a push"))
            }
            PushWay::Expo { url } => {
                let tokens: Vec<String> = phones.into_iter().map(|phone| phone.token).collect();
                let tickets = expo::send(&push.outbound, url, note, &tokens).await;
                self.judge(account, tokens, &tickets).await
            }
        }
    }

    /// Notes what is to be asked for later, forgets phones that are gone.
    async fn judge(&self, account: &str, tokens: Vec<String>, tickets: &[Ticket]) -> Outcome {
        let phones = tokens.len();
        let mut errors: Vec<&str> = Vec::new();
        let (mut gone, mut expected) = (Vec::new(), Vec::new());
        for (token, ticket) in tokens.into_iter().zip(tickets) {
            if let Ticket::Ok { id: Some(id) } = ticket {
                expected.push(Expected {
                    ticket: id.clone(),
                    account: account.to_owned(),
                    token: token.clone(),
                });
            }
            errors.extend(ticket.error());
            if ticket.is_gone() {
                gone.push((account.to_owned(), token));
            }
        }
        self.expect_receipts(expected);
        self.forget_phones(gone).await;
        let why = || -> String { errors.join(", ").chars().take(WHY_MAX).collect() };
        match phones - errors.len() {
            delivered if delivered == phones => Outcome::Sent(phones),
            0 => Outcome::Failed(why()),
            delivered => Outcome::Partial {
                phones,
                delivered,
                why: why(),
            },
        }
    }
}

/// Posts JSON and reads JSON. The error is for people, and holds nothing of what was sent.
async fn post<T: DeserializeOwned>(
    outbound: &Outbound,
    url: &str,
    body: &Value,
) -> Result<T, String> {
    let json = HeaderValue::from_static("application/json");
    let wait = limits::HAPPY_PUSH_WAIT;
    let request = CallRequest {
        method: Method::POST,
        url: url.to_owned(),
        headers: HeaderMap::from_iter([
            (header::CONTENT_TYPE, json.clone()),
            (header::ACCEPT, json),
        ]),
        body: body.to_string().into(),
        limits: CallLimits {
            connect: wait,
            first_byte: wait,
            idle: wait,
            total: wait,
            answer_bytes_max: limits::HAPPY_PUSH_ANSWER_BYTES_MAX,
        },
    };
    let answer = outbound.call(request).await.map_err(|error| {
        log::warn!("event=happy_push_failed error=\"{error}\"");
        String::from("Network error")
    })?;
    if !answer.status.is_success() {
        return Err(format!("HTTP {}", answer.status.as_u16()));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|_| String::from("Not the answer of such a service"))
}

#[cfg(test)]
mod tests;
