//! Voice Memory: a conversation that is heard, answered from what is remembered, and spoken.
//!
//! The room owns the turn (listen, transcribe, answer, speak), the speech engines, the box's own
//! microphone and loudspeaker, the `/ws` dialects, and the memories behind the answers. It
//! promises that a turn always ends, and ends once; it never records before it is asked to.

use std::rc::Rc;

use crate::audio::Audio;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::ops::Registry;
use crate::server::Router;
use crate::store::Store;

pub mod api;
pub mod db;
pub mod dialogue;
pub mod error;
pub mod index;
mod listen;
pub mod memory;
pub mod port;
pub mod providers;
pub mod recall;
mod reply;
pub mod rules;
pub mod sentence;
pub mod session;
pub mod settings;
mod stages;
pub mod timeline;
pub mod turn;

use dialogue::Dialogue;
pub use settings::{EngineSettings, VoiceSettings};

/// What the house hands to the room.
pub struct VoiceParts {
    pub store: Store,
    pub bus: Bus,
    pub clock: Clock,
    pub audio: Audio,
    pub metrics: Registry,
    pub settings: VoiceSettings,
}

/// The room. Everything in it lives on the loop.
pub struct Voice {
    pub dialogue: Dialogue,
    pub settings: VoiceSettings,
}

impl Voice {
    pub fn start(parts: VoiceParts) -> Rc<Voice> {
        let dialogue = Dialogue::start(
            parts.store.clone(),
            parts.bus.clone(),
            parts.clock.clone(),
            &parts.settings,
        );
        Rc::new(Voice {
            dialogue,
            settings: parts.settings,
        })
    }

    pub fn routes(self: &Rc<Self>, router: &mut Router) {
        api::routes(router, &self.dialogue, None);
    }
}
