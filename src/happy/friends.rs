//! People of this box: who they are to each other, and finding one.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, internal, ok, refusal, store_error};
use super::db::people::{self, Named, Person, Status};
use super::feed::{self, News, Posted};
use super::{Happy, Recipients, call, id};
use crate::clock::UnixMillis;
use crate::limits;
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode};
use crate::store::{Connection, StoreError};

const FOUND_MAX: usize = 10;

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::GET, "/v1/user/search", search);
    happy.route(router, Method::GET, "/v1/user/{id}", person);
    let own = happy.clone();
    let path = "/api/v1/happy/accounts/{id}";
    router.route(Method::PATCH, path, Access::Admin, move |request| {
        name(own.clone(), request)
    });
    happy.route(router, Method::GET, "/v1/friends", list);
    happy.route(router, Method::POST, "/v1/friends/add", |happy, request| {
        change(happy, request, add)
    });
    happy.route(
        router,
        Method::POST,
        "/v1/friends/remove",
        |happy, request| change(happy, request, remove),
    );
}

/// The owner of the box names people: the original takes names from GitHub.
async fn name(happy: Happy, mut request: Request) -> Answer {
    let Name { username } = request.json().await?;
    if !username.as_deref().is_none_or(is_name) {
        return Err(HttpError::invalid(
            "username has to be 1 to 39 letters, digits and dashes, or null.",
        ));
    }
    let (account, new) = (request.param("id").to_owned(), username.clone());
    let (id, now) = (account.clone(), happy.0.clock.wall());
    let turn = happy.turn();
    let named = happy
        .0
        .store
        .write(move |db| people::name(db, &id, new.as_deref(), now))
        .await;
    match named.map_err(store_error)? {
        Named::Done(seq) => {
            let body = json!({"t": "update-account", "id": account, "username": username});
            turn.publish(&account, seq, body, Recipients::UserScoped);
            let done = json!({"success": true, "data": {}});
            Ok(Response::json(StatusCode::OK, &done))
        }
        Named::NoAccount => Err(HttpError::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "There is no such account; GET /api/v1/happy lists them.",
        )),
        Named::Taken => Err(HttpError::new(
            StatusCode::CONFLICT,
            "CONFLICT",
            "Another account has this name; choose another.",
        )),
    }
}

#[derive(Deserialize)]
struct Name {
    #[serde(deserialize_with = "call::nullable")]
    username: Option<String>,
}

pub fn is_name(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=39).contains(&text.len()) && text.bytes().all(is_good)
}

async fn person(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .read(|db| people::person(db, &account, request.param("id")))
        .map_err(store_error)?;
    match found {
        Some(person) => ok(json!({"user": profile(&person)})),
        None => Err(refusal(StatusCode::NOT_FOUND, "User not found")),
    }
}

async fn search(happy: Happy, request: Request) -> Answer {
    let Some(start) = request.query("query") else {
        return Err(HttpError::invalid("query is missing in the query."));
    };
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .query(move |db| people::search(db, &account, &start, FOUND_MAX))
        .await
        .map_err(store_error)?;
    let users: Vec<Value> = found.iter().map(profile).collect();
    ok(json!({"users": users}))
}

async fn list(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let found = happy
        .0
        .store
        .query(move |db| people::friends(db, &account))
        .await
        .map_err(store_error)?;
    let friends: Vec<Value> = found.iter().map(profile).collect();
    ok(json!({"friends": friends}))
}

fn profile(person: &Person) -> Value {
    json!({
        "id": person.id,
        "firstName": "",
        "lastName": null,
        "avatar": null,
        "username": person.username.as_deref().unwrap_or(""),
        "bio": null,
        "status": person.status.word(),
    })
}

#[derive(Deserialize)]
struct Other {
    uid: String,
}

/// A step of one person towards another or away; gives what the other is to the one then.
type Step = fn(&Connection, &Pair, &mut Vec<Posted>) -> Result<Status, StoreError>;

async fn change(happy: Happy, mut request: Request, step: Step) -> Answer {
    let Other { uid } = call::body(&mut request).await?;
    let account = happy.account(&request.head)?;
    if uid == account {
        return ok(json!({"user": null}));
    }
    let now = happy.0.clock.wall();
    let pair = Pair {
        own: account,
        other: uid,
        // No step posts more than one to each side.
        post_ids: [id::new(now), id::new(now)]
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(internal)?,
        now,
    };
    let turn = happy.turn();
    let outcome = happy
        .0
        .store
        .write(move |db| -> Result<_, StoreError> {
            let Some(mut person) = people::person(db, &pair.own, &pair.other)? else {
                return Ok(None);
            };
            let mut posts = Vec::new();
            person.status = step(db, &pair, &mut posts)?;
            Ok(Some((person, posts)))
        })
        .await;
    let Some((person, posts)) = outcome.map_err(store_error)? else {
        return ok(json!({"user": null}));
    };
    for post in posts {
        feed::publish(&turn, post);
    }
    ok(json!({"user": profile(&person)}))
}

struct Pair {
    own: String,
    other: String,
    post_ids: Vec<String>,
    now: UnixMillis,
}

impl Pair {
    fn statuses(&self, db: &Connection) -> Result<(Status, Status), StoreError> {
        Ok((
            people::status(db, &self.own, &self.other)?,
            people::status(db, &self.other, &self.own)?,
        ))
    }

    fn set_own(&self, db: &Connection, status: Status) -> Result<(), StoreError> {
        people::set(db, &self.own, &self.other, status, self.now)
    }

    fn set_other(&self, db: &Connection, status: Status) -> Result<(), StoreError> {
        people::set(db, &self.other, &self.own, status, self.now)
    }

    /// A post about `about` in the feed of `to`, unless that one was told of them lately.
    fn post(
        &self,
        db: &Connection,
        (to, about): (&str, &str),
        news: News,
        posts: &mut Vec<Posted>,
    ) -> Result<(), StoreError> {
        let since = UnixMillis(self.now.0 - limits::HAPPY_NOTIFY_AGAIN.as_millis() as i64);
        let Some(id) = self.post_ids.get(posts.len()) else {
            return Ok(());
        };
        if people::stamp_notified(db, to, about, since, self.now)? {
            posts.push(feed::post(db, id, to, news, about, self.now)?);
        }
        Ok(())
    }
}

fn add(db: &Connection, pair: &Pair, posts: &mut Vec<Posted>) -> Result<Status, StoreError> {
    let (own, other) = pair.statuses(db)?;
    match (own, other) {
        (_, Status::Requested) => {
            pair.set_other(db, Status::Friend)?;
            pair.set_own(db, Status::Friend)?;
            let (own, other) = (pair.own.as_str(), pair.other.as_str());
            pair.post(db, (own, other), News::FriendAccepted, posts)?;
            pair.post(db, (other, own), News::FriendAccepted, posts)?;
            Ok(Status::Friend)
        }
        (Status::None | Status::Rejected, other) => {
            pair.set_own(db, Status::Requested)?;
            if other == Status::None {
                pair.set_other(db, Status::Pending)?;
            }
            pair.post(db, (&pair.other, &pair.own), News::FriendRequest, posts)?;
            Ok(Status::Requested)
        }
        (own, _) => Ok(own),
    }
}

fn remove(db: &Connection, pair: &Pair, _: &mut Vec<Posted>) -> Result<Status, StoreError> {
    let (own, other) = pair.statuses(db)?;
    match own {
        Status::Requested => {
            pair.set_own(db, Status::Rejected)?;
            Ok(Status::Rejected)
        }
        Status::Friend => {
            pair.set_other(db, Status::Requested)?;
            pair.set_own(db, Status::Pending)?;
            // The original's answer, which is not what it stored; clients show it.
            Ok(Status::Requested)
        }
        Status::Pending => {
            pair.set_own(db, Status::None)?;
            if other != Status::Rejected {
                pair.set_other(db, Status::None)?;
            }
            Ok(Status::None)
        }
        Status::None | Status::Rejected => Ok(own),
    }
}
