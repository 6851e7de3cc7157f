//! `GET /api/v1/export` and `POST /api/v1/import`.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use super::input::{invalid, query_flag, query_one_of};
use super::{Api, data};
use crate::limits::{EXPORTS_MAX, IMPORT_BYTES_MAX, IMPORT_CHUNK_BYTES};
use crate::server::pieces::Pieces;
use crate::server::upload::{Upload, on_thread};
use crate::server::{Body, HeaderValue, HttpError, Request, Response, StatusCode, header};
use crate::voice::archive::export::{Export, Format};
use crate::voice::archive::import::{self, Counts};
use crate::voice::db;
use crate::voice::db::archive::{Brought, Incoming};
use crate::voice::error::VoiceError;

thread_local! {
    /// Exports and imports under way.
    static UNDER_WAY: Rc<Cell<usize>> = Rc::default();
}

/// One of [`EXPORTS_MAX`] places.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take() -> Result<Place, HttpError> {
        let count = UNDER_WAY.with(Rc::clone);
        if count.get() >= EXPORTS_MAX {
            return Err(VoiceError::Conflict(String::from(
                "Another export or import is under way; try again when it is done.",
            ))
            .into());
        }
        count.set(count.get() + 1);
        Ok(Place(count))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

pub async fn export(api: Rc<Api>, request: Request) -> Result<Response, HttpError> {
    let format = query_one_of(&request, "format", Format::NAMES)?.unwrap_or(Format::Lines);
    let audio = query_flag(&request, "audio")?;
    if audio && format != Format::Zip {
        return Err(invalid(
            "`audio` goes along in a zip alone: set `format` to zip.",
        ));
    }
    let place = Place::take()?;
    let now = api.dialogue.clock().wall();
    let export = Export {
        format,
        audio,
        database: api.dialogue.store().path().to_owned(),
        recordings: recordings(&api),
        now,
    };
    let (mut writer, pieces) = Pieces::new();
    let ended = on_thread("export", move || {
        export.write(&mut writer).and_then(|()| writer.finish())
    });
    tokio::task::spawn_local(async move {
        if let Ok(Err(error)) = ended.await {
            log::warn!("event=export_ended_early error=\"{error}\"");
        }
        drop(place);
    });
    let (content_type, extension) = format.kind();
    let day = now.rfc3339();
    let name = format!(
        "attachment; filename=\"magpie-{}.{extension}\"",
        day.get(..10).unwrap_or(&day)
    );
    let mut answer = Response::bytes(StatusCode::OK, content_type, Bytes::new());
    answer.body = Body::Pieces(pieces);
    if let Ok(name) = HeaderValue::from_str(&name) {
        answer = answer.with(header::CONTENT_DISPOSITION, name);
    }
    Ok(answer.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// Checks every line first; then stores what is new, some hundred rows to a transaction.
pub async fn import(api: Rc<Api>, mut request: Request) -> Result<Response, HttpError> {
    let dry_run = query_flag(&request, "dry_run")?;
    let _place = Place::take()?;
    let file = Upload::receive(&mut request, &api.data_dir, IMPORT_BYTES_MAX).await?;
    let looked = pass(&api, &file.path, true).await?;
    let counts = if dry_run {
        looked
    } else {
        pass(&api, &file.path, false).await?
    };
    let (path, folder) = (file.path.clone(), recordings(&api));
    let sounds = on_thread("import", move || import::sounds(&path, &folder, dry_run)).await??;
    if !dry_run {
        take_in_timers(&api).await;
        log::info!("event=imported rows={} sounds={sounds}", counts.new_rows());
    }
    let answer = json!({
        "dry_run": dry_run,
        "rows": counts.shown(),
        "sounds": sounds,
        "changed": !dry_run && (counts.new_rows() > 0 || sounds > 0),
    });
    Ok(data(StatusCode::OK, &answer))
}

/// What was stored is stored: that a timer cannot ring before the next start is no failed import.
async fn take_in_timers(api: &Api) {
    match api.dialogue.timers().take_in().await {
        Ok(true) => {}
        Ok(false) => log::warn!("event=imported_timers_wait why=\"too many are set\""),
        Err(error) => log::warn!("event=imported_timers_wait error=\"{error}\""),
    }
}

/// Reads the file once: only looking, or storing.
async fn pass(api: &Api, path: &Path, look: bool) -> Result<Counts, HttpError> {
    let (chunks, mut arriving) = mpsc::channel::<Vec<Incoming>>(1);
    let path = path.to_owned();
    let reading = on_thread("import", move || {
        import::read(&path, &mut |chunk| {
            chunks
                .blocking_send(chunk)
                .map_err(|_| VoiceError::Conflict(String::from("The import was ended.")))
        })
    });
    let (mut counts, mut brought) = (Counts::default(), Brought::default());
    let storing = async move {
        while let Some(rows) = arriving.recv().await {
            let store = api.dialogue.store();
            let (rows, fates) = if look {
                let looked = store.query(move |connection| {
                    let fates = db::archive::look(connection, &rows, &mut brought)?;
                    Ok::<_, VoiceError>((rows, fates, brought))
                });
                let (rows, fates, after) = looked.await?;
                brought = after;
                (rows, fates)
            } else {
                store
                    .write_sized(IMPORT_CHUNK_BYTES, move |connection| {
                        let fates = db::archive::put(connection, &rows)?;
                        Ok::<_, VoiceError>((rows, fates))
                    })
                    .await?
            };
            counts.add(&rows, &fates);
        }
        // On the way out, early or not, the channel closes and the reader ends.
        Ok::<Counts, VoiceError>(counts)
    };
    let (read, stored) = tokio::join!(reading, storing);
    // The store's word first: it may have ended the reader.
    let counts = stored?;
    read??;
    Ok(counts)
}

fn recordings(api: &Api) -> PathBuf {
    api.data_dir.join("recordings")
}
