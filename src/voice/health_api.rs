//! `GET /health`: whether the box is well, in the flat form that monitoring asks for.
//!
//! Made at most once a second, since anybody may ask as often as they like. Strangers see status,
//! time, memory and version; the rest is for members of the house.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Voice;
use crate::clock::MonoMillis;
use crate::limits::HEALTH_KEPT;
use crate::ops::Process;
use crate::server::{Access, Method, Response, Role, Router, StatusCode};

struct Kept {
    at: MonoMillis,
    status: StatusCode,
    for_strangers: Bytes,
    for_members: Bytes,
}

pub fn route(router: &mut Router, voice: &Rc<Voice>) {
    let voice = Rc::clone(voice);
    let started = voice.room.clock.mono();
    let kept: Rc<RefCell<Option<Kept>>> = Rc::default();
    router
        .route(Method::GET, "/health", Access::Public, move |request| {
            let now = voice.room.clock.mono();
            let mut kept = kept.borrow_mut();
            let fresh = kept.take().filter(|kept| now.since(kept.at) < HEALTH_KEPT);
            let health = kept.insert(fresh.unwrap_or_else(|| look(&voice, now, started)));
            let body = match request.caller.role {
                Role::Nobody => &health.for_strangers,
                Role::Device | Role::Owner => &health.for_members,
            };
            let response = Response::bytes(health.status, "application/json", body.clone());
            async move { Ok(response) }
        })
        .uncounted();
}

fn look(voice: &Voice, now: MonoMillis, started: MonoMillis) -> Kept {
    let writable = !voice
        .dialogue
        .store()
        .health()
        .failing
        .load(Ordering::Relaxed);
    let room = voice.health();
    let (status, word) = match (writable, room.degraded) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
        (true, true) => (StatusCode::OK, "degraded"),
        (true, false) => (StatusCode::OK, "healthy"),
    };
    let process = Process::read();
    let mut value = json!({
        "status": word,
        "timestamp": voice.room.clock.wall().rfc3339(),
        "uptime": uptime(now.since(started)),
        "memory": {
            "alloc": process.resident_bytes,
            "total_alloc": process.resident_peak_bytes,
            "sys": process.virtual_bytes,
            "num_gc": 0,
        },
        "version": env!("CARGO_PKG_VERSION"),
    });
    let for_strangers = Bytes::from(value.to_string());
    if let (Value::Object(value), Value::Object(more)) = (&mut value, json!(room)) {
        value.extend(more);
        let path = voice.dialogue.store().path();
        let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
        value.insert(String::from("db"), json!({"size": size, "ok": writable}));
        value.insert(
            String::from("disk_free"),
            json!(disk_free(&voice.settings.data_dir)),
        );
        value.insert(String::from("temp_c"), json!(temperature()));
    }
    Kept {
        at: now,
        status,
        for_strangers,
        for_members: Bytes::from(value.to_string()),
    }
}

/// As `1h2m3.4s`; leading units that are zero are left out.
fn uptime(time: Duration) -> String {
    let (minutes, seconds) = (time.as_secs() / 60, time.as_secs() % 60);
    let tenths = time.subsec_millis() / 100;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}.{tenths}s"),
        (0, minutes) => format!("{minutes}m{seconds}.{tenths}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}.{tenths}s"),
    }
}

/// Bytes that may still be written where the data lies.
fn disk_free(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zero is a valid `statvfs`.
    let mut stats: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call.
    let failed = unsafe { libc::statvfs(path.as_ptr(), &mut stats) } != 0;
    #[allow(clippy::unnecessary_cast, reason = "narrower on 32-bit boards")]
    (!failed).then(|| stats.f_bavail as u64 * stats.f_frsize as u64)
}

/// Of the processor, where the board tells it.
fn temperature() -> Option<f64> {
    let text = std::fs::read_to_string("/sys/class/thermal/thermal_zone0/temp").ok()?;
    let milli: f64 = text.trim().parse().ok()?;
    Some(milli / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_written_for_people() {
        for (ms, text) in [
            (0, "0.0s"),
            (3_450, "3.4s"),
            (62_000, "1m2.0s"),
            (3_723_400, "1h2m3.4s"),
        ] {
            assert_eq!(uptime(Duration::from_millis(ms)), text);
        }
    }
}
