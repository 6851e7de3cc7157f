//! `GET /health`: one look at the whole box, flat, for a person, a monitor or a container.
//!
//! Anybody may ask whether the box is healthy; how it is in detail is for its own people.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::clock::{Clock, MonoMillis};
use crate::limits::UPDATE_NOTE_BYTES_MAX;
use crate::ops::{Process, disk};
use crate::server::{Access, Method, Request, Response, Role, Router, StatusCode};
use crate::store::{Store, StoreHealth};

/// In the data folder of a box that updates itself: how the last update ended.
pub const UPDATE_FILE: &str = "update.json";

/// What the wiring hands to the route.
pub struct HealthParts {
    pub clock: Clock,
    pub store: Store,
    pub data_dir: PathBuf,
    /// What the rooms have to tell.
    pub rooms: Rc<dyn Fn() -> RoomHealth>,
}

#[derive(Default)]
pub struct RoomHealth {
    /// Something is missing that a person would notice.
    pub is_degraded: bool,
    /// Fields of their own in the answer.
    pub details: Map<String, Value>,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    timestamp: String,
    uptime: String,
    memory: Memory,
    version: &'static str,
    #[serde(flatten)]
    details: Map<String, Value>,
}

/// The names are those of the product's first server; the mapping: resident, peak resident and
/// virtual bytes, and no garbage collector.
#[derive(Serialize)]
struct Memory {
    alloc: u64,
    total_alloc: u64,
    sys: u64,
    num_gc: u32,
}

pub fn routes(router: &mut Router, parts: HealthParts) {
    let parts = Rc::new(parts);
    let began = parts.clock.mono();
    let store_health = parts.store.health();
    let figures = Figures::default();
    router
        .route(Method::GET, "/health", Access::Public, move |request| {
            let answer = answer(&parts, &store_health, &figures, began, &request);
            async move { Ok(answer) }
        })
        .uncounted();
}

/// The kernel's figures, asked for at most once a second.
#[derive(Default)]
struct Figures(Cell<Option<(MonoMillis, Kernel)>>);

impl Figures {
    fn of(&self, parts: &HealthParts) -> Kernel {
        let now = parts.clock.mono();
        if let Some((read, kernel)) = self.0.get()
            && now.since(read) < Duration::from_secs(1)
        {
            return kernel;
        }
        let database = std::fs::metadata(parts.store.path());
        let kernel = Kernel {
            process: Process::memory(),
            database_bytes: database.map(|meta| meta.len()).ok(),
            disk_free: disk::free(&parts.data_dir),
            temperature: temperature(),
        };
        self.0.set(Some((now, kernel)));
        kernel
    }
}

fn answer(
    parts: &HealthParts,
    store: &Arc<StoreHealth>,
    figures: &Figures,
    began: MonoMillis,
    request: &Request,
) -> Response {
    let can_write = !store.failing.load(Ordering::Relaxed);
    let rooms = (parts.rooms)();
    let (status, word) = if !can_write {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    } else if rooms.is_degraded {
        (StatusCode::OK, "degraded")
    } else {
        (StatusCode::OK, "healthy")
    };
    let kernel = figures.of(parts);
    let mut details = Map::new();
    if request.caller.role != Role::Nobody {
        details = rooms.details;
        let database = json!({ "size": kernel.database_bytes, "ok": can_write });
        details.insert("db".into(), database);
        details.insert("disk_free".into(), json!(kernel.disk_free));
        details.insert("temp_c".into(), json!(kernel.temperature));
        if let Some(update) = last_update(&parts.data_dir) {
            details.insert("last_update".into(), update);
        }
    }
    let health = Health {
        status: word,
        timestamp: parts.clock.wall().rfc3339(),
        uptime: uptime(parts.clock.mono().since(began)),
        memory: Memory {
            alloc: kernel.process.resident_bytes,
            total_alloc: kernel.process.resident_peak_bytes,
            sys: kernel.process.virtual_bytes,
            num_gc: 0,
        },
        version: env!("CARGO_PKG_VERSION"),
        details,
    };
    Response::json(status, &health)
}

/// `None` where there is none; whoever updates the box writes it whole.
fn last_update(data_dir: &Path) -> Option<Value> {
    let file = File::open(data_dir.join(UPDATE_FILE)).ok()?;
    serde_json::from_reader(file.take(UPDATE_NOTE_BYTES_MAX)).ok()
}

#[derive(Clone, Copy)]
struct Kernel {
    process: Process,
    database_bytes: Option<u64>,
    disk_free: Option<u64>,
    temperature: Option<f64>,
}

/// Of the processor, in degrees Celsius; `None` where the board does not tell.
fn temperature() -> Option<f64> {
    let text = std::fs::read_to_string("/sys/class/thermal/thermal_zone0/temp").ok()?;
    let millidegrees: f64 = text.trim().parse().ok()?;
    Some(millidegrees / 1_000.0)
}

/// As `1h2m3.4s`, leading zero parts left out.
fn uptime(since: Duration) -> String {
    let tenths = since.as_millis() / 100;
    let (hours, minutes) = (tenths / 36_000, tenths / 600 % 60);
    let seconds = format!("{}.{}s", tenths / 10 % 60, tenths % 10);
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, _) => format!("{minutes}m{seconds}"),
        _ => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, uptime};

    #[test]
    fn uptime_reads_as_people_write_it() {
        for (ms, text) in [
            (0, "0.0s"),
            (3_456, "3.4s"),
            (63_400, "1m3.4s"),
            (3_723_400, "1h2m3.4s"),
            (360_000_000, "100h0m0.0s"),
        ] {
            assert_eq!(uptime(Duration::from_millis(ms)), text);
        }
    }
}
