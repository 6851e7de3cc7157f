//! One archive to export and import: an account of one box, whole, on another.
//!
//! The archive is a zip: rows as lines of JSON by the names of their columns, attachments as they
//! are, and a manifest with what there should be. Along goes all that the account's clients stored
//! and the numbers at which they left off, so that whoever signs in with the same key notices
//! nothing. Tokens of devices stay, for they are this box's; so do tokens of vendors, which are
//! sealed with its key, and who is a friend of whom, which is two people's of one box.
//!
//! Export reads one moment of the database and of the files what is there as they go; an
//! attachment that went meanwhile is not told of. Import trusts nothing: all of the archive is
//! checked before its first row is stored, and nobody sees the account before its last one is.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Happy;
use super::answer::store_error;
use crate::limits;
use crate::server::pieces::Pieces;
use crate::server::upload::{Upload, on_thread};
use crate::server::{
    Access, Body, HeaderValue, HttpError, Method, Request, Response, Router, StatusCode, header,
};
use crate::store::StoreError;

mod export;
mod load;
#[cfg(test)]
mod load_tests;
pub mod read;
#[cfg(test)]
mod round_trip_tests;
pub mod unpack;

use export::{Export, Snapshot};

const FORMAT: &str = "magpie-happy-account";
/// Of the form; a newer one is refused.
const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const ROWS: &str = "rows.jsonl";
/// Rows of the attachments whose files went along, in the order of the files.
const ATTACHMENTS: &str = "attachments.jsonl";
/// Of `files/<session>/<name>`.
const FILES: &str = "files/";

/// What an archive says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: String,
    pub version: u32,
    pub program: String,
    /// The database's, by number of its last step.
    pub schema: usize,
    pub made_at: String,
    pub account: String,
    /// Rows by their `type`.
    pub counts: BTreeMap<String, usize>,
}

/// Whether an export or import is under way.
#[derive(Default)]
pub struct Archives(Rc<Cell<bool>>);

/// The one that is, until dropped.
struct Turn(Rc<Cell<bool>>);

impl Archives {
    fn turn(&self) -> Result<Turn, HttpError> {
        match self.0.replace(true) {
            false => Ok(Turn(self.0.clone())),
            true => Err(conflict(
                "Another account is being exported or imported; try again when that is done.",
            )),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

pub fn routes(router: &mut Router, happy: &Happy) {
    let own = happy.clone();
    let path = "/api/v1/happy/accounts/{id}/export";
    router.route(Method::GET, path, Access::Admin, move |request| {
        export(own.clone(), request)
    });
    let own = happy.clone();
    let path = "/api/v1/happy/import";
    router.route(Method::POST, path, Access::Admin, move |request| {
        import(own.clone(), request)
    });
}

async fn export(happy: Happy, request: Request) -> Result<Response, HttpError> {
    let room = &happy.0;
    let turn = room.archives.turn()?;
    let account = request.param("id").to_owned();
    let name = format!("attachment; filename=\"happy-{account}.zip\"");
    let export = Export {
        account,
        database: room.store.path().to_owned(),
        data_dir: room.data_dir.clone(),
        now: room.clock.wall(),
    };
    let (export, snapshot) = on_thread("export", move || {
        let snapshot = export.snapshot();
        (export, snapshot)
    })
    .await?;
    let snapshot: Snapshot = match snapshot {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return Err(no_account()),
        Err(StoreError::Full) => return Err(no_room_on_card()),
        Err(StoreError::Constraint(why)) => return Err(conflict(why)),
        Err(error) => return Err(store_error(error)),
    };
    let (mut writer, pieces) = Pieces::new();
    let ended = on_thread("export", move || {
        export
            .write(snapshot, &mut writer)
            .and_then(|()| writer.finish())
    });
    tokio::task::spawn_local(async move {
        if let Ok(Err(error)) = ended.await {
            log::warn!("event=happy_export_ended_early error=\"{error}\"");
        }
        drop(turn);
    });
    let mut answer = Response::bytes(StatusCode::OK, "application/zip", Bytes::new());
    answer.body = Body::Pieces(pieces);
    // Of an id of which there is an account.
    if let Ok(name) = HeaderValue::from_str(&name) {
        answer = answer.with(header::CONTENT_DISPOSITION, name);
    }
    Ok(answer.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

async fn import(happy: Happy, mut request: Request) -> Result<Response, HttpError> {
    let turn = happy.0.archives.turn()?;
    let declared = request.head.header(header::CONTENT_LENGTH.as_str());
    let declared = declared.and_then(|text| text.parse().ok()).unwrap_or(0);
    want_card(happy.0.data_dir.clone(), declared).await?;
    let data_dir = happy.0.data_dir.clone();
    let file = Upload::receive(&mut request, &data_dir, limits::HAPPY_ARCHIVE_BYTES_MAX).await?;
    // To its end, though whoever sent it hangs up.
    let working = tokio::task::spawn_local(async move {
        let loaded = happy.load(file.path.clone()).await;
        drop((file, turn));
        loaded
    });
    let stopping = |_| Err(HttpError::busy("The box is stopping; try again.", 1));
    let loaded = working.await.unwrap_or_else(stopping)?;
    let data = json!({
        "account": loaded.account,
        "counts": loaded.counts,
        "username_taken": loaded.is_name_taken,
    });
    let answer = json!({"success": true, "data": data});
    Ok(Response::json(StatusCode::OK, &answer))
}

/// Refuses what would leave the card too little.
async fn want_card(data_dir: PathBuf, bytes: u64) -> Result<(), HttpError> {
    let free = on_thread("import", move || crate::ops::disk::free(&data_dir)).await?;
    match free.is_some_and(|free| free < bytes.saturating_add(limits::DISK_FREE_BYTES_MIN)) {
        true => Err(no_room_on_card()),
        false => Ok(()),
    }
}

fn no_room_on_card() -> HttpError {
    HttpError::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "STORAGE_FULL",
        "The card has too little room for that; make room and try again.",
    )
}

pub(super) fn no_account() -> HttpError {
    HttpError::new(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "There is no such account; GET /api/v1/happy lists them.",
    )
}

fn conflict(message: impl Into<std::borrow::Cow<'static, str>>) -> HttpError {
    HttpError::new(StatusCode::CONFLICT, "CONFLICT", message)
}
