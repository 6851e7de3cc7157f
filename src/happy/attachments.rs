//! Attachments: encrypted blobs of a session, on the card and behind a token.
//!
//! A client asks where to send one and is told an address of this box. It is acknowledged when
//! the file is synced under its name and a row says so; without the row there is none. It takes its
//! name in the transaction of its row, so what is refused leaves the one before alone.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, internal, ok, refusal, refused, store_error, write_error};
use super::db::{WriteError, attachments, sessions};
use super::files::is_name;
use super::{Happy, call, id};
use crate::clock::MonoMillis;
use crate::limits;
use crate::server::{self, HttpError, Method, Request, RequestHead, Router, StatusCode, header};
use crate::store::StoreError;

const NO_SESSION: &str = "Session not found";
const NO_FILE_NAME: &str = "Invalid attachment file";
const BYTES: &str = "application/octet-stream";

pub fn routes(router: &mut Router, happy: &Happy) {
    let path = "/v1/sessions/{id}/attachments/request-upload";
    happy.route(router, Method::POST, path, request_upload);
    let path = "/v1/sessions/{id}/attachments/request-download";
    happy.route(router, Method::POST, path, request_download);
    let path = "/v1/sessions/{id}/attachments/{file}";
    happy.route(router, Method::PUT, path, upload);
    happy.route(router, Method::GET, path, download);
}

#[derive(Deserialize)]
struct Coming {
    /// Never used for a path.
    #[serde(rename = "filename")]
    _name: String,
    size: f64,
}

async fn request_upload(happy: Happy, mut request: Request) -> Answer {
    let coming: Coming = call::body(&mut request).await?;
    if coming.size > limits::HAPPY_ATTACHMENT_BYTES_MAX as f64 {
        return Err(HttpError::invalid(
            "An attachment may have 10485760 bytes at most.",
        ));
    }
    let account = happy.account(&request.head)?;
    if !happy.0.uploads.take(&account, happy.0.clock.mono()) {
        return refused(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many upload requests. Try again in a minute.",
        );
    }
    let session = own_session(&happy, &account, &request)?;
    let file = format!("{}.enc", id::uuid().ok_or_else(internal)?);
    let base = base_url(&request.head);
    ok(json!({
        "ref": format!("sessions/{session}/attachments/{file}"),
        "uploadUrl": format!("{base}/v1/sessions/{session}/attachments/{file}"),
        "method": "PUT",
    }))
}

async fn upload(happy: Happy, mut request: Request) -> Answer {
    let kind = request.head.header("content-type").unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case(BYTES) {
        return Err(HttpError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            "An attachment is application/octet-stream.",
        ));
    }
    let account = happy.account(&request.head)?;
    let session = own_session(&happy, &account, &request)?;
    let name = request.param("file").to_owned();
    if !is_name(&name) {
        return refused(StatusCode::NOT_FOUND, NO_FILE_NAME);
    }
    let blob = receive(&mut request).await.map_err(too_large)?;
    let bytes = blob.len();
    let turn = happy.0.files.turn().await?;
    let (owner, of, called) = (account.clone(), session.clone(), name.clone());
    let may_come = happy
        .0
        .store
        .query(move |db| attachments::may_come(db, &owner, &of, &called, bytes))
        .await;
    if !may_come.map_err(write_error)? {
        return refused(StatusCode::NOT_FOUND, NO_SESSION);
    }
    let place = happy.0.files.attachment(&session, &name);
    let ready = place.write(blob).await?;
    let (of, called, now) = (session.clone(), name.clone(), happy.0.clock.wall());
    let own = ready.clone();
    let noted = happy
        .0
        .store
        .write(move |db| {
            let is_noted = attachments::put(db, &account, &of, &called, bytes, now)?;
            if is_noted {
                own.take_place().map_err(|error| {
                    log::error!("event=happy_file_not_kept error=\"{error}\"");
                    StoreError::Full
                })?;
            }
            Ok::<_, WriteError>(is_noted)
        })
        .await;
    if !matches!(noted, Ok(true)) {
        ready.remove().await;
    }
    let is_there = happy
        .0
        .store
        .read(|db| attachments::is_there(db, &session, &name));
    if let Ok(false) = is_there {
        // The commit failed after all.
        place.remove().await;
    }
    drop(turn);
    if !noted.map_err(write_error)? {
        return refused(StatusCode::NOT_FOUND, NO_SESSION);
    }
    ok(json!({"ok": true}))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "ref")]
    reference: String,
}

async fn request_download(happy: Happy, mut request: Request) -> Answer {
    let wanted: Result<Wanted, HttpError> = call::body(&mut request).await;
    // This route's refusals have no more words than that.
    let wanted = wanted.map_err(|error| match error.status {
        StatusCode::BAD_REQUEST => refusal(StatusCode::BAD_REQUEST, "Error"),
        _ => error,
    })?;
    let account = happy.account(&request.head)?;
    let session = own_session(&happy, &account, &request)?;
    let begin = format!("sessions/{session}/attachments/");
    let Some(file) = wanted.reference.strip_prefix(&begin) else {
        return refused(
            StatusCode::BAD_REQUEST,
            "Ref does not belong to this session",
        );
    };
    if !is_name(file) {
        return refused(StatusCode::BAD_REQUEST, "Invalid attachment ref");
    }
    let base = base_url(&request.head);
    ok(json!({
        "downloadUrl": format!("{base}/v1/sessions/{session}/attachments/{file}"),
    }))
}

async fn download(happy: Happy, request: Request) -> Answer {
    let account = happy.account(&request.head)?;
    let session = own_session(&happy, &account, &request)?;
    let name = request.param("file");
    if !is_name(name) {
        return refused(StatusCode::NOT_FOUND, NO_FILE_NAME);
    }
    let is_there = happy
        .0
        .store
        .read(|db| attachments::is_there(db, &session, name));
    if !is_there.map_err(store_error)? {
        return refused(StatusCode::NOT_FOUND, "Attachment not found");
    }
    let path = happy.0.files.attachment(&session, name).path();
    let sent = server::files::file(&request.head, path, BYTES).await;
    sent.map_err(|error| match error.status {
        // The row came back from a backup of before attachments were in them.
        StatusCode::NOT_FOUND => refusal(StatusCode::NOT_FOUND, "Attachment not found"),
        _ => error,
    })
}

fn own_session(happy: &Happy, account: &str, request: &Request) -> Result<String, HttpError> {
    let session = request.param("id");
    let found = happy
        .0
        .store
        .read(|db| sessions::seq(db, account, session))
        .map_err(store_error)?;
    match found {
        Some(_) => Ok(session.to_owned()),
        None => Err(refusal(StatusCode::NOT_FOUND, NO_SESSION)),
    }
}

/// One that is a little too large is read to its end all the same: a client that is cut off while
/// it sends does not hear why.
async fn receive(request: &mut Request) -> Result<Vec<u8>, HttpError> {
    let declared = request.head.header(header::CONTENT_LENGTH.as_str());
    let length = declared.and_then(|text| text.parse::<usize>().ok());
    if length.is_some_and(|length| length > limits::HAPPY_ATTACHMENT_BYTES_MAX) {
        let most = limits::HAPPY_BODY_BYTES_MAX as u64;
        while request.body_chunk(most).await?.is_some() {}
    }
    request.body(limits::HAPPY_ATTACHMENT_BYTES_MAX).await
}

fn too_large(error: HttpError) -> HttpError {
    match error.status {
        StatusCode::PAYLOAD_TOO_LARGE => refusal(error.status, "File too large (max 10MB)"),
        _ => error,
    }
}

/// This box as the client calls it: a client shows its token only to the address that it was
/// configured with.
fn base_url(head: &RequestHead) -> String {
    let forwarded = |name| {
        let value = head.header(name)?.trim();
        (!value.is_empty()).then_some(value)
    };
    let scheme = forwarded("x-forwarded-proto").unwrap_or(match head.peer.tls {
        true => "https",
        false => "http",
    });
    let host = forwarded("x-forwarded-host").or_else(|| head.header(header::HOST.as_str()));
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

/// How often each account asked to upload within the running minute.
#[derive(Default)]
pub struct Uploads(RefCell<BTreeMap<String, (MonoMillis, u32)>>);

impl Uploads {
    /// `false`: too often.
    fn take(&self, account: &str, now: MonoMillis) -> bool {
        let mut all = self.0.borrow_mut();
        all.retain(|_, (since, _)| now.since(*since) < limits::HAPPY_UPLOAD_WINDOW);
        let (_, count) = all.entry(account.to_owned()).or_insert((now, 0));
        let may = *count < limits::HAPPY_UPLOADS_PER_WINDOW;
        *count += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_may_ask_sixty_times_a_minute_whatever_others_do() {
        let uploads = Uploads::default();
        for _ in 0..limits::HAPPY_UPLOADS_PER_WINDOW {
            assert!(uploads.take("a", MonoMillis(5)));
        }
        let over = 4 + limits::HAPPY_UPLOAD_WINDOW.as_millis() as u64;
        assert!(!uploads.take("a", MonoMillis(over)));
        assert!(uploads.take("b", MonoMillis(over)));
        assert!(uploads.take("a", MonoMillis(over + 1)));
        assert_eq!(uploads.0.borrow().len(), 2);
    }
}
