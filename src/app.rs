//! Builds the rooms and wires them together: the only file that knows all of them.
//!
//! [`App::start`] is a checklist: each step either holds or ends the start with one line that says
//! what to do. Nothing is announced before everything answers. [`App::stop`] is the same list
//! backwards.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::audio::{Audio, AudioOptions};
use crate::bus::Bus;
use crate::clock::Clock;
use crate::config::{Config, Setting};
use crate::happy::{self, Happy};
use crate::house::backup::{self, restore};
use crate::house::docs;
use crate::house::health::{self, HealthParts, RoomHealth};
use crate::house::settings::{self, Take};
use crate::house::{AuthorityCertificate, BackupParts, Backups, Gate, House, HouseParts, Settings};
use crate::identity::{AuthMode, Identity};
use crate::limits;
use crate::ops::log::{self as logs, LogOptions};
use crate::ops::{Health, Notifier, Ops, OpsParts, Registry, Setup, loop_watch};
use crate::outbound::{Outbound, OutboundOptions, Proxy};
use crate::server::tls::{Tls, TlsError};
use crate::server::upload;
use crate::server::{GuardOptions, Networks, Router, Server, ServerOptions, interfaces, memory};
use crate::store::{self, Durability, OpenError, Store, StoreError, StoreOptions};
use crate::voice::{self, Voice, VoiceParts};

mod voice_settings;

pub use voice_settings::voice_settings;

mod happy_room;
mod told;

/// Name of the file in `DATA_DIR` that tells the command line where the box answers.
pub const SERVER_FILE: &str = "server.json";
const LOCK_FILE: &str = "magpie.lock";

/// The running house. Lives on the loop.
pub struct App {
    pub server: Server,
    pub voice: Rc<Voice>,
    pub house: House,
    pub identity: Identity,
    pub store: Store,
    pub audio: Audio,
    settings: Settings,
    pub backups: Backups,
    happy: Option<Happy>,
    health: Health,
    notifier: Notifier,
    ops: Ops,
    data_dir: PathBuf,
    /// Held until the process ends: one process writes the database.
    _lock: File,
}

/// Where the box answers, as [`SERVER_FILE`] holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    pub pid: u32,
    pub http: Option<SocketAddr>,
    pub https: Option<SocketAddr>,
    pub ops: Option<SocketAddr>,
}

/// One line for a person, with what to do.
#[derive(Debug)]
pub enum StartError {
    Folder {
        path: PathBuf,
        error: io::Error,
    },
    Running {
        path: PathBuf,
        pid: String,
    },
    Store(OpenError),
    Identity(StoreError),
    Settings(StoreError),
    Happy(StoreError),
    Restore(io::Error),
    Setting {
        name: &'static str,
        why: String,
    },
    Tls(TlsError),
    Listen(crate::server::StartError),
    Ops {
        address: SocketAddr,
        error: io::Error,
    },
    Thread(io::Error),
}

impl App {
    /// Must run inside a `LocalSet`. `only_local` binds a free loopback port and nothing else,
    /// for a command that needs the house for a moment.
    pub async fn start(config: &Config, only_local: bool) -> Result<App, StartError> {
        memory::prepare();
        let clock = Clock::system();
        let metrics = Registry::default();
        let data_dir = make_data_dir(config)?;
        let lock = lock(&data_dir)?;
        upload::clear(&data_dir);
        restore::apply(&config.database(), &data_dir).map_err(StartError::Restore)?;
        let store =
            Store::open(store_options(config, &clock, &metrics)).map_err(StartError::Store)?;
        let settings = Settings::load(config, store.clone(), clock.clone(), &data_dir)
            .await
            .map_err(StartError::Settings)?;
        let with_stored = settings.config();
        let mut stored = config.changed(&with_stored);
        if !only_local && stored.any(|setting| setting.name.starts_with("LOG_")) {
            logs::reload(log_options(&with_stored));
        }
        let config = &with_stored;
        let bus = Bus::default();
        let identity = Identity::load(store.clone(), clock.clone(), auth_mode(config))
            .await
            .map_err(StartError::Identity)?;
        identity
            .offer_local_token(&data_dir)
            .map_err(|error| folder_error(&data_dir, error))?;
        if !only_local {
            voice_settings::check(config)?;
        }
        let audio = Audio::start(audio_options(config), &metrics);
        let outbound = outbound(config, &metrics)?;
        let voice = Voice::start(VoiceParts {
            store: store.clone(),
            bus,
            clock: clock.clone(),
            audio: audio.clone(),
            metrics: metrics.clone(),
            outbound: outbound.clone(),
            settings: voice_settings(config),
        });

        let setup = Setup::default();
        let mut options = ServerOptions::new(clock.clone(), metrics.clone());
        listen_on(&mut options, config, only_local)?;
        let tls = options.tls.clone();
        options.guard = guard(config)?;
        options.rate_per_minute = config.number("RATE_LIMIT") as u32;
        let backups = Backups::start(backup_parts(config, &store, &clock, only_local));
        let house = House::start(HouseParts {
            identity: identity.clone(),
            setup: setup.clone(),
            authority: tls.as_ref().and_then(authority_certificate),
            label: config.word("HOSTNAME_LABEL").to_owned(),
            settings: settings.clone(),
            web_dir: web_dir(config)?,
            greeting: (config.word("HAPPY_REGISTRATION") != "off").then_some(happy::GREETING),
            backups: backups.clone(),
        });
        let mut router = Router::default();
        voice.routes(&mut router);
        house.routes(&mut router);
        health::routes(
            &mut router,
            HealthParts {
                clock: clock.clone(),
                store: store.clone(),
                data_dir: data_dir.clone(),
                rooms: rooms_health(&voice),
            },
        );
        let mut papers = voice::docs::DOCS.to_vec();
        let mut shapes = voice::docs::SHAPES.to_vec();
        let happy =
            happy_room::start(config, &store, &clock, &metrics, outbound, &voice.device).await?;
        if let Some(happy) = &happy {
            happy.routes(&mut router);
            papers.extend(happy::docs::DOCS);
            papers.extend(happy::people_docs::DOCS);
            shapes.extend(happy::docs::SHAPES);
        }
        docs::serve(&mut router, papers, shapes);
        let gate = Rc::new(Gate::new(identity.clone()));
        let server = Server::bind(options, router, gate).map_err(StartError::Listen)?;
        house.answers_on(
            server.http_address().map(|address| address.port()),
            server.https_address().map(|address| address.port()),
        );
        voice.sockets.limit_turns(server.rate());

        let (health, notifier) = (Health::default(), Notifier::from_env());
        watch_store(&health, &metrics, &store);
        let ops = Ops::start(
            ops_listener(config, only_local)?,
            OpsParts {
                metrics: metrics.clone(),
                beat: loop_watch::start(&metrics),
                health: health.clone(),
                notifier: notifier.clone(),
                setup,
            },
        )
        .map_err(StartError::Thread)?;
        let take = taker(&server, &audio, tls, (&voice, config));
        let trying = voice.clone();
        let test = move |stage: String| -> std::pin::Pin<Box<dyn Future<Output = _>>> {
            let voice = trying.clone();
            Box::pin(async move { Ok(voice.check_stage(&stage).await?) })
        };
        settings.hand_to(take, Some(Rc::new(test)));
        server.start();
        let app = App {
            server,
            voice,
            house,
            identity,
            store,
            audio,
            settings,
            backups,
            happy,
            health,
            notifier,
            ops,
            data_dir,
            _lock: lock,
        };
        app.announce()?;
        Ok(app)
    }

    pub fn addresses(&self) -> Addresses {
        Addresses {
            pid: std::process::id(),
            http: self.server.http_address(),
            https: self.server.https_address(),
            ops: self.ops.address(),
        }
    }

    /// The environment or `.env` was read again.
    pub fn reload(&self, config: &Config) {
        self.settings.rebase(config);
    }

    /// Tells everybody, lets what runs finish, and closes the store last.
    pub async fn stop(self) {
        self.notifier.stopping();
        self.health.drain();
        if let Some(happy) = &self.happy {
            happy.stop();
        }
        self.server.shutdown().await;
        if let Err(error) = self.store.close().await {
            log::error!("event=store_not_closed error=\"{error}\"");
        }
        let _ = fs::remove_file(self.data_dir.join(SERVER_FILE));
    }

    /// Everything answers: tell the command line, the supervisor, and who may claim the box.
    fn announce(&self) -> Result<(), StartError> {
        let addresses = self.addresses();
        write_private(&self.data_dir.join(SERVER_FILE), &addresses)
            .map_err(|error| folder_error(&self.data_dir, error))?;
        let status = addresses
            .http
            .or(addresses.https)
            .map(|address| format!("answers on {address}"))
            .unwrap_or_default();
        self.notifier.ready(&status);
        Ok(())
    }
}

fn backup_parts(config: &Config, store: &Store, clock: &Clock, only_local: bool) -> BackupParts {
    let data_dir = config.data_dir();
    BackupParts {
        store: store.clone(),
        clock: clock.clone(),
        folder: backup::folder(config),
        elsewhere: config.path("BACKUP_COPY_DIR"),
        data_dir,
        // A box that is there for one command has no nights.
        keep_days: if only_local {
            0
        } else {
            config.number("BACKUP_KEEP_DAYS") as u32
        },
    }
}

/// Takes over what may change while the box runs.
fn taker(
    server: &Server,
    audio: &Audio,
    tls: Option<Tls>,
    (voice, config): (&Rc<Voice>, &Config),
) -> Take {
    let (server, audio, voice) = (server.clone(), audio.clone(), voice.clone());
    let before = RefCell::new(config.clone());
    Rc::new(move |config| {
        // The providers are kept, with what is known of them, unless something about them changed.
        let changed = before
            .borrow()
            .changed(config)
            .any(Setting::is_of_providers);
        voice.reconfigure(voice_settings(config));
        if changed {
            voice.choose_engines();
        }
        before.replace(config.clone());
        match guard(config) {
            Ok(options) => server.set_guard(options),
            Err(error) => log::error!("event=reload_refused error=\"{error}\""),
        }
        audio.set_volume(config.number("VOLUME") as u8);
        logs::reload(log_options(config));
        if let Some(tls) = &tls {
            tls.reload();
        }
    })
}

/// Where lines go and which of them.
pub fn log_options(config: &Config) -> LogOptions {
    LogOptions {
        level: logs::level(config.word("LOG_LEVEL")),
        json: config.word("LOG_FORMAT") == "json",
        file: config.path("LOG_FILE"),
    }
}

/// What the page has chosen, as the database of a box that does not run tells it.
pub fn with_stored(config: &Config) -> Config {
    match store::look(&config.database(), settings::peek) {
        Some(rows) => settings::overlay(config, rows, &config.data_dir()),
        None => config.clone(),
    }
}

fn store_options(config: &Config, clock: &Clock, metrics: &Registry) -> StoreOptions {
    StoreOptions {
        path: config.database(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        durability: Durability::Full,
    }
}

/// Brings the database up to date without starting anything; the steps that were taken.
pub fn migrate(config: &Config) -> Result<Vec<&'static str>, StartError> {
    let data_dir = make_data_dir(config)?;
    let _lock = lock(&data_dir)?;
    let options = store_options(config, &Clock::system(), &Registry::default());
    store::upgrade(&options).map_err(StartError::Store)
}

/// A store that cannot commit makes the box unready.
fn watch_store(health: &Health, metrics: &Registry, store: &Store) {
    health.require_progress(
        "store",
        metrics.gauge(store::QUEUE_METRIC, "", &[]),
        metrics.histogram(store::COMMIT_METRIC, "", &[]),
        limits::COMMIT_STUCK,
    );
    let state = store.health();
    health.require("store_batch", move || {
        let age = state.batch_age()?;
        let hangs = age > limits::COMMIT_STUCK;
        hangs.then(|| {
            format!(
                "a commit has been under way for {} s: the card hangs",
                age.as_secs()
            )
        })
    });
    let state = store.health();
    health.require("store_writes", move || {
        let failing = state.failing.load(Ordering::Relaxed);
        failing.then(|| String::from("the last commit failed; see the log and `magpie doctor`"))
    });
}

fn rooms_health(voice: &Rc<Voice>) -> Rc<dyn Fn() -> RoomHealth> {
    let voice = voice.clone();
    Rc::new(move || {
        let health = voice.health();
        let details = match serde_json::to_value(&health) {
            Ok(serde_json::Value::Object(details)) => details,
            _ => serde_json::Map::new(),
        };
        RoomHealth {
            is_degraded: health.degraded,
            details,
        }
    })
}

fn listen_on(
    options: &mut ServerOptions,
    config: &Config,
    only_local: bool,
) -> Result<(), StartError> {
    if only_local {
        options.http = Some((Ipv4Addr::LOCALHOST, 0).into());
        return Ok(());
    }
    let host = config.address("HOST");
    options.http = config.port("PORT").map(|port| (host, port).into());
    if let Some(port) = config.port("HTTPS_PORT") {
        options.https = Some((host, port).into());
        options.tls = Some(make_tls(config, &options.clock).map_err(StartError::Tls)?);
    }
    Ok(())
}

/// The certificate that the settings name, else one of the box's own authority.
fn make_tls(config: &Config, clock: &Clock) -> Result<Tls, TlsError> {
    match (config.path("TLS_CERT_FILE"), config.path("TLS_KEY_FILE")) {
        (Some(certificate), Some(key)) => Tls::from_files(&certificate, &key),
        _ => Tls::own(
            &config.data_dir().join("tls"),
            config.word("HOSTNAME_LABEL"),
            &interfaces::own_addresses(),
            clock.wall(),
        ),
    }
}

fn authority_certificate(tls: &Tls) -> Option<AuthorityCertificate> {
    Some(AuthorityCertificate {
        der: tls.authority_der()?.to_vec(),
        fingerprint: tls.fingerprint(),
    })
}

fn web_dir(config: &Config) -> Result<Option<PathBuf>, StartError> {
    crate::house::web_dir(config.path("WEB_DIR")).map_err(|why| StartError::Setting {
        name: "WEB_DIR",
        why,
    })
}

fn ops_listener(config: &Config, only_local: bool) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = config.listen("OPS_LISTEN").filter(|_| !only_local) else {
        return Ok(None);
    };
    TcpListener::bind(address)
        .map(Some)
        .map_err(|error| StartError::Ops { address, error })
}

fn guard(config: &Config) -> Result<GuardOptions, StartError> {
    let label = config.word("HOSTNAME_LABEL");
    let proxies = config.list("TRUST_PROXY");
    Ok(GuardOptions {
        names: vec![label.to_owned(), format!("{label}.local")],
        allowed_origins: config.list("ALLOWED_ORIGINS"),
        trusted_proxies: Networks::parse(proxies.iter().map(String::as_str)).map_err(|why| {
            StartError::Setting {
                name: "TRUST_PROXY",
                why,
            }
        })?,
    })
}

/// The way out: directly, or through the proxy that the settings name.
pub fn outbound(config: &Config, metrics: &Registry) -> Result<Outbound, StartError> {
    let wrong = |name: &'static str| move |why: String| StartError::Setting { name, why };
    let proxy = config
        .text("PROXY_URL")
        .map(Proxy::parse)
        .transpose()
        .map_err(|error| wrong("PROXY_URL")(error.to_string()))?;
    let extra_authorities = match config.path("EXTRA_CA_FILE") {
        None => Vec::new(),
        Some(path) => fs::read(&path)
            .map_err(|error| wrong("EXTRA_CA_FILE")(format!("{}: {error}", path.display())))?,
    };
    let mut no_proxy = config.list("NO_PROXY");
    no_proxy.extend(["localhost", "127.0.0.1", "::1"].map(String::from));
    let options = OutboundOptions {
        proxy,
        no_proxy,
        extra_authorities,
    };
    Outbound::new(options, metrics).map_err(|error| wrong("EXTRA_CA_FILE")(error.to_string()))
}

fn auth_mode(config: &Config) -> AuthMode {
    match config.word("VOICE_AUTH") {
        "strict" => AuthMode::Strict,
        "off" => AuthMode::Off,
        _ => AuthMode::Lan,
    }
}

fn audio_options(config: &Config) -> AudioOptions {
    AudioOptions {
        input: config.word("AUDIO_INPUT").to_owned(),
        output: config.word("AUDIO_OUTPUT").to_owned(),
        period: std::time::Duration::from_millis(config.number("AUDIO_PERIOD_MS")),
        volume: config.number("VOLUME") as u8,
    }
}

fn make_data_dir(config: &Config) -> Result<PathBuf, StartError> {
    let path = config.data_dir();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .map_err(|error| folder_error(&path, error))?;
    Ok(path)
}

/// One process a data folder: the lock goes with the process, however it ends.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| folder_error(data_dir, error))?;
    // SAFETY: takes a descriptor that `file` keeps open, and a flag.
    let locked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if locked != 0 {
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        return Err(StartError::Running {
            path: data_dir.to_path_buf(),
            pid: pid.trim().to_owned(),
        });
    }
    let noted = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()));
    noted.map_err(|error| folder_error(data_dir, error))?;
    Ok(file)
}

fn write_private(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&partial)?;
    serde_json::to_writer(&mut file, addresses)?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

fn folder_error(path: &Path, error: io::Error) -> StartError {
    StartError::Folder {
        path: path.to_path_buf(),
        error,
    }
}
