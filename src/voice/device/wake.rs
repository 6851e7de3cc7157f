//! Waits for the wake phrase while nothing else goes on and the microphone is not off.

use std::rc::Weak;
use std::time::Duration;

use super::DevicePort;
use crate::voice::session::{Ask, Manner, WeakSession};
use crate::voice::settings::VoiceSettings;
use crate::voice::turn::{Ends, Phase};
use crate::voice::wake::Spotter;

/// After a microphone that cannot be opened.
const RETRY: Duration = Duration::from_secs(5);

pub(super) fn spotter(settings: &VoiceSettings) -> Option<Spotter> {
    let phrase = settings.wake_phrase.as_deref()?;
    match Spotter::start(phrase) {
        Ok(spotter) => Some(spotter),
        Err(what) => {
            log::error!("event=no_wake_phrase what=\"{what}\"");
            None
        }
    }
}

pub(super) async fn listen_for_it(spotter: Spotter, port: Weak<DevicePort>, session: WeakSession) {
    loop {
        let (Some(device), Some(open)) = (port.upgrade(), session.upgrade()) else {
            return;
        };
        let (state, changed) = (open.state(), device.changed.clone());
        drop(open);
        if state.muted || state.phase != Phase::Idle {
            drop(device);
            changed.notified().await;
            continue;
        }
        // One that nobody took: the turn that was asked for did not begin.
        device.overheard.take();
        let ear = device.open_ear().await;
        drop(device);
        let ear = match ear {
            Ok(ear) => ear,
            Err(error) => {
                log::debug!("event=wake_without_microphone error=\"{error}\"");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let heard = tokio::select! {
            heard = ear.spot(&spotter) => heard,
            () = changed.notified() => continue,
        };
        let (Some(device), Some(open)) = (port.upgrade(), session.upgrade()) else {
            return;
        };
        match heard {
            Ok(ear) => {
                log::info!("event=wake_phrase_heard");
                device.overheard.replace(Some(ear));
                let asked = open.ask(Ask::Listen {
                    ends: Ends::BySilence,
                    manner: Manner {
                        speak: true,
                        ..Manner::default()
                    },
                });
                drop(open);
                drop(device);
                match asked {
                    Ok(()) => changed.notified().await,
                    Err(error) => log::warn!("event=wake_not_answered error=\"{error}\""),
                }
            }
            Err(error) => {
                log::debug!("event=wake_without_microphone error=\"{error}\"");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
