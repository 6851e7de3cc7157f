//! `/api/v1/backup` and `/api/v1/restore`, for the owner.

use std::time::Duration;

use serde_json::{Value, json};

use super::restore::{self, Note};
use super::{BackupError, Backups, file};
use crate::limits::RESTORE_BYTES_MAX;
use crate::server::upload::{Upload, on_thread};
use crate::server::{Access, HttpError, Method, Request, Response, Router, StatusCode, files};
use crate::store::StoreError;

type Answer = Result<Response, HttpError>;

/// Of an answer, for a share that is slow or hangs; the copying itself goes on.
const COPY_WAIT: Duration = Duration::from_secs(120);

pub(in crate::house) fn routes(router: &mut Router, backups: &Backups) {
    let admin = Access::Admin;
    let own = backups.clone();
    router.route(Method::GET, "/api/v1/backup", admin, move |_| {
        list(own.clone())
    });
    let own = backups.clone();
    router.route(Method::POST, "/api/v1/backup", admin, move |_| {
        make(own.clone())
    });
    let own = backups.clone();
    router.route(
        Method::GET,
        "/api/v1/backup/{name}",
        admin,
        move |request| download(own.clone(), request),
    );
    let own = backups.clone();
    router.route(Method::POST, "/api/v1/restore", admin, move |request| {
        take_back(own.clone(), request)
    });
}

async fn list(backups: Backups) -> Answer {
    let (folder, data_dir) = (
        backups.0.parts.folder.clone(),
        backups.0.parts.data_dir.clone(),
    );
    let found = on_thread("backup", move || {
        let kept = file::list(&folder);
        let list: Vec<Value> = kept.iter().rev().map(shown).collect();
        let last = restore::last(&data_dir);
        json!({ "backups": list, "restored": last.map(|note| note.stamp) })
    });
    success(StatusCode::OK, found.await?)
}

fn shown(kept: &file::Kept) -> Value {
    json!({ "name": kept.name, "bytes": kept.bytes, "made_at": kept.made_at.rfc3339() })
}

async fn make(backups: Backups) -> Answer {
    let made = backups.make().await.map_err(refusal)?;
    let name = made.path.file_name().unwrap_or_default().to_string_lossy();
    let elsewhere = match tokio::time::timeout(COPY_WAIT, backups.copy_elsewhere()).await {
        Ok(None) => Value::Null,
        Ok(Some(Ok(_))) => json!({ "state": "copied" }),
        Ok(Some(Err(why))) => json!({ "state": "failed", "why": why }),
        Err(_) => json!({ "state": "under_way" }),
    };
    let data = json!({
        "name": name,
        "bytes": made.bytes,
        "files": made.files,
        "checked": true,
        "elsewhere": elsewhere,
    });
    success(StatusCode::CREATED, data)
}

async fn download(backups: Backups, request: Request) -> Answer {
    let (folder, name) = (
        backups.0.parts.folder.clone(),
        request.param("name").to_owned(),
    );
    let path = on_thread("backup", move || {
        let found = file::list(&folder)
            .into_iter()
            .find(|kept| kept.name == name);
        found.map(|kept| kept.path)
    });
    let path = path.await?.ok_or_else(|| {
        HttpError::new(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "There is no backup of this name; GET /api/v1/backup lists them.",
        )
    })?;
    files::file(&request.head, path, "application/zip").await
}

/// Verified and laid ready here; the box then restarts by itself and takes it.
async fn take_back(backups: Backups, mut request: Request) -> Answer {
    let turn = backups.turn().map_err(refusal)?;
    let data_dir = &backups.0.parts.data_dir;
    let upload = Upload::receive(&mut request, data_dir, RESTORE_BYTES_MAX).await?;
    // What was sent whole is taken, even when whoever sent it goes away meanwhile.
    let staging = tokio::task::spawn_local(async move {
        let note = stage(&backups, upload).await?;
        drop(turn);
        log::info!("event=restore_ready made_at={}", note.made_at);
        backups.0.restart.notify_one();
        Ok::<Note, HttpError>(note)
    });
    let ended = |_| Err(HttpError::busy("The box is stopping; send it again.", 1));
    let note = staging.await.unwrap_or_else(ended)?;
    let data = json!({ "restore": note.stamp, "made_at": note.made_at, "restarting": true });
    success(StatusCode::ACCEPTED, data)
}

async fn stage(backups: &Backups, upload: Upload) -> Result<Note, HttpError> {
    let parts = &backups.0.parts;
    let (data_dir, database) = (parts.data_dir.clone(), parts.store.path().to_owned());
    let now = parts.clock.wall();
    let staged = on_thread("restore", move || {
        restore::stage(&upload.path, &database, &data_dir, now)
    });
    staged.await?.map_err(|error| {
        HttpError::invalid(format!(
            "The file cannot be restored: {error}; nothing was changed."
        ))
    })
}

fn success(status: StatusCode, data: Value) -> Answer {
    Ok(Response::json(
        status,
        &json!({ "success": true, "data": data }),
    ))
}

fn refusal(error: BackupError) -> HttpError {
    let (status, code) = match &error {
        BackupError::Underway => (StatusCode::CONFLICT, "CONFLICT"),
        BackupError::Store(StoreError::Full) => (StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL"),
        BackupError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "DATABASE_ERROR"),
        BackupError::File(_) => (StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL"),
    };
    HttpError::new(status, code, error.to_string())
}
