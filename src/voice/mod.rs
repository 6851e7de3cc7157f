//! Voice Memory: a conversation that is heard, answered from what is remembered, and spoken.
//!
//! The room owns the turn (listen, transcribe, answer, speak), the speech engines, the box's own
//! microphone and loudspeaker, the `/ws` dialects, and the memories behind the answers. It
//! promises that a turn always ends, and ends once; it never records before it is asked to.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use crate::audio::Audio;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::ops::Registry;
use crate::outbound::Outbound;
use crate::server::Router;
use crate::store::Store;

pub mod api;
pub mod archive;
pub mod db;
pub mod decode;
mod deferred;
pub mod details;
pub mod device;
mod device_api;
pub mod dialogue;
pub mod docs;
mod earcons;
pub mod error;
pub mod facts;
pub mod filing;
pub mod hardware;
pub mod health;
pub mod index;
mod listen;
pub mod memories;
pub mod memory;
pub mod mind;
pub mod organize;
mod phrases;
pub mod port;
mod private;
pub mod prompt;
pub mod providers;
pub mod queue;
pub mod recall;
pub mod recordings;
mod reply;
mod ring;
pub mod rules;
pub mod secrets;
pub mod sentence;
pub mod session;
pub mod settings;
pub mod socket;
mod sound_api;
mod stages;
pub mod timeline;
pub mod timers;
pub mod tools;
mod triggers;
pub mod turn;
pub mod vectors;
pub mod wake;

use device::{Device, DeviceParts};
use dialogue::{Action, Dialogue, VoiceError};
use filing::{Filing, FilingParts, FilingSettings};
use hardware::Panel;
use health::Calls;
use providers::cache::SpeechCache;
use providers::chains::World;
use providers::command::Scratch;
use providers::network::Network;
pub use providers::{EngineError, Engines};
use queue::{Pace, Queue, QueueParts};
use recordings::{Recordings, RecordingsParts};
use session::Room;
pub use settings::{EngineSettings, VoiceSettings};
use socket::Sockets;
use timeline::TurnLog;

/// What the house hands to the room.
pub struct VoiceParts {
    pub store: Store,
    pub bus: Bus,
    pub clock: Clock,
    pub audio: Audio,
    pub metrics: Registry,
    pub outbound: Outbound,
    pub settings: VoiceSettings,
}

/// The room. Everything in it lives on the loop.
pub struct Voice {
    pub dialogue: Dialogue,
    pub device: Device,
    audio: Audio,
    pub sockets: Sockets,
    /// Work that waits.
    pub queue: Queue,
    /// What a model makes of memories and conversations.
    pub filing: Rc<Filing>,
    room: Rc<Room>,
}

impl Voice {
    /// Must be called on the loop; the box listens to nobody before it is asked to.
    pub fn start(parts: VoiceParts) -> Rc<Voice> {
        let settings = parts.settings;
        Scratch::clear_stale(&settings.data_dir);
        let dialogue = Dialogue::start(
            parts.store.clone(),
            parts.bus.clone(),
            parts.clock.clone(),
            &settings,
        );
        let world = World {
            network: Network::start(&parts.outbound),
            cache: SpeechCache::open(
                settings.data_dir.join("speech-cache"),
                settings.tts_cache_bytes,
            ),
            clock: parts.clock.clone(),
            outbound: parts.outbound,
        };
        let engines = Engines::choose(&settings, &world);
        dialogue.answer_with(engines.llm.clone(), settings.model.clone());
        let queue = Queue::start(QueueParts {
            store: parts.store.clone(),
            bus: parts.bus.clone(),
            clock: parts.clock.clone(),
            metrics: parts.metrics.clone(),
            pace: Pace::of(&settings),
        });
        let recordings = Recordings::start(RecordingsParts {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            queue: queue.clone(),
            data_dir: settings.data_dir.clone(),
            kept_days: settings.recordings_kept_days,
            waiting_bytes_max: settings.queue_bytes_max,
        });
        dialogue
            .memories()
            .keep_sound_in(Rc::new(recordings.clone()));
        let room = Rc::new(Room {
            recordings,
            dialogue: dialogue.clone(),
            engines: RefCell::new(Rc::new(engines)),
            world,
            clock: parts.clock,
            log: TurnLog::new(&parts.metrics),
            settings: RefCell::new(Rc::new(settings.clone())),
            sessions: Cell::new(0),
            triggers: triggers::Triggers::default(),
            actor: OnceCell::new(),
            stt_calls: Calls::default(),
            tts_calls: Calls::default(),
        });
        let filing = Filing::start(FilingParts {
            store: parts.store.clone(),
            clock: room.clock.clone(),
            memories: dialogue.memories().clone(),
            queue: queue.clone(),
            outbound: room.world.outbound.clone(),
            model: model_of(&room),
            settings: filing_settings_of(&room),
            time_zone: jiff::tz::TimeZone::system(),
        });
        let audio = parts.audio.clone();
        let device = Device::start(DeviceParts {
            room: Rc::clone(&room),
            audio: parts.audio,
            bus: parts.bus.clone(),
            store: parts.store,
        });
        let _ = room.actor.set(device.downgrade());
        tokio::task::spawn_local(show_network(room.world.network.clone(), device.downgrade()));
        tokio::task::spawn_local(try_again(room.world.network.clone(), queue.clone()));
        if settings.tts_cache_bytes > 0 {
            tokio::task::spawn_local(phrases::keep_ready(Rc::downgrade(&room)));
        }
        let timers = dialogue.timers();
        let bell = ring::BoxBell::new(device.downgrade(), audio.clone(), timers.clone());
        timers.ring_on(Rc::new(bell));
        recordings::work(&room);
        if let Some(command) = &settings.hardware.event_command {
            match providers::command::Template::parse(command) {
                Ok(template) => {
                    hardware::events::start(template, &parts.bus, room.clock.clone());
                }
                Err(error) => log::error!("event=event_command_not_usable error=\"{error}\""),
            }
        }
        Panel::open(&settings.hardware).attach(&device);
        Rc::new(Voice {
            dialogue,
            device,
            audio,
            sockets: Sockets::new(Rc::clone(&room), parts.bus),
            queue,
            filing,
            room,
        })
    }

    pub fn routes(self: &Rc<Self>, router: &mut Router) {
        let speaker = Rc::new(self.device.clone());
        api::routes(
            router,
            &self.dialogue,
            &self.settings().data_dir,
            Some(speaker),
            Some(&self.room),
        );
        api::speech::routes(router, self);
        api::older::routes(router, self);
        device_api::routes(router, self);
        sound_api::routes(router, self);
        queue::routes(router, &self.queue);
        filing::routes(router, &self.filing);
        recordings::routes(router, &self.room);
        self.sockets.routes(router);
    }

    /// Speech engines in use, and why there are none.
    pub fn engines(&self) -> Rc<Engines> {
        self.room.engines()
    }

    pub fn settings(&self) -> Rc<VoiceSettings> {
        self.room.settings()
    }

    /// Takes over what may change while the box runs: languages, waits, what is kept. What is under
    /// way ends as it began.
    pub fn reconfigure(&self, settings: VoiceSettings) {
        self.room
            .recordings
            .reconfigure(settings.recordings_kept_days, settings.queue_bytes_max);
        self.queue.reconfigure(Pace::of(&settings));
        self.room.settings.replace(Rc::new(settings));
    }

    /// Chooses the engines anew by the settings in force; what is known of the old ones goes.
    pub fn choose_engines(&self) {
        let settings = self.settings();
        let engines = Engines::choose(&settings, &self.room.world);
        self.dialogue
            .answer_with(engines.llm.clone(), settings.model.clone());
        self.room.engines.replace(Rc::new(engines));
    }

    /// Tries a stage (`stt`, `llm`, `tts`) with the settings in force.
    pub async fn check_stage(&self, stage: &str) -> Result<serde_json::Value, VoiceError> {
        let checked = providers::check::check(&self.engines(), stage).await;
        checked.ok_or_else(|| VoiceError::Invalid(format!("stage: {stage} cannot be tried")))
    }

    /// Whether the internet is there, and changes of that.
    pub fn network(&self) -> &Network {
        &self.room.world.network
    }

    /// Conversations under way: the box's own and one for each `/ws` client.
    pub fn sessions(&self) -> usize {
        self.room.sessions.get()
    }

    /// The times of the last turns.
    pub fn turn_log(&self) -> &TurnLog {
        &self.room.log
    }
}

/// The model in force; a call under way keeps the one it began with.
fn model_of(room: &Rc<Room>) -> filing::Model {
    let room = Rc::downgrade(room);
    Rc::new(move || match room.upgrade() {
        Some(room) => room.engines().llm.clone(),
        None => Err(EngineError::Missing(String::from(
            "the box is shutting down",
        ))),
    })
}

fn filing_settings_of(room: &Rc<Room>) -> Rc<dyn Fn() -> FilingSettings> {
    let room = Rc::clone(room);
    Rc::new(move || {
        let settings = room.settings();
        FilingSettings {
            auto_memory: settings.auto_memory,
            conversation_idle: settings.conversation_idle,
            summary_at: settings.summary_at,
            embed: settings.embed.clone(),
        }
    })
}

/// What waits in the queue is tried as soon as the network, or a provider, is back.
async fn try_again(network: Network, queue: Queue) {
    let mut returns = network.returns();
    while returns.changed().await.is_ok() {
        queue.network_returned();
    }
}

/// Tells the box's own endpoint of a network that it needs and that goes or comes back.
async fn show_network(network: Network, device: device::WeakDevice) {
    let mut changes = network.changes();
    while changes.changed().await.is_ok() {
        let offline = network.is_down() && network.is_needed();
        let Some(device) = device.upgrade() else {
            return;
        };
        if let Err(error) = device.set_offline(offline) {
            log::warn!("event=network_not_shown error=\"{error}\"");
        }
    }
}

impl api::Speaker for Device {
    fn recite(&self, sentences: &Rc<api::Sentences>) {
        if let Err(error) = Device::recite(self, Rc::clone(sentences)) {
            log::warn!("event=answer_not_spoken error=\"{error}\"");
        }
    }

    fn act(&self, action: &Action) {
        match action {
            Action::Stop => {
                if let Err(error) = self.stop() {
                    log::warn!("event=not_stopped error=\"{error}\"");
                }
            }
            Action::Volume { percent } => self.set_volume(*percent),
            Action::Mute => {
                let device = self.clone();
                tokio::task::spawn_local(async move {
                    if let Err(error) = device.mute(true).await {
                        log::warn!("event=not_muted error=\"{error}\"");
                    }
                });
            }
            // The words are in the answer; where they are to be heard, they are said. A long note
            // is recorded where it was asked for.
            Action::Repeat | Action::Memo => {}
        }
    }
}

#[cfg(test)]
mod session_tests;
