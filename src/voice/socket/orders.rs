//! What a native client asks of the box rather than of its own conversation.

use std::rc::Rc;
use std::time::Duration;

use super::wire::{TimerAck, TimerAction};
use crate::limits::SNOOZE_DEFAULT;
use crate::voice::device::WeakDevice;
use crate::voice::dialogue::VoiceError;
use crate::voice::session::Room;
use crate::voice::timers::Timekeeper as _;

/// Of the box's own loudspeaker; a client sets its own by itself.
pub(super) fn volume(room: &Rc<Room>, percent: u8) -> Result<(), VoiceError> {
    if percent > 100 {
        return Err(VoiceError::Invalid(String::from(
            "percent: 0 to 100 are allowed",
        )));
    }
    let Some(device) = room.actor.get().and_then(WeakDevice::upgrade) else {
        return Err(VoiceError::Audio(String::from(
            "the box has no loudspeaker",
        )));
    };
    device.set_volume(percent);
    Ok(())
}

/// What came of it is told as a `timer` message, as to everybody else; `failed` hears of an error.
pub(super) fn timer_ack(room: &Rc<Room>, ack: TimerAck, failed: impl Fn(&VoiceError) + 'static) {
    let timers = room.dialogue.timers().clone();
    tokio::task::spawn_local(async move {
        let wait = match ack.duration {
            Some(seconds) => Duration::from_secs(seconds.into()),
            None => SNOOZE_DEFAULT,
        };
        let done = match ack.action {
            TimerAction::Stop => timers.stop(&ack.id).await,
            TimerAction::Snooze => timers.snooze(&ack.id, wait).await,
        };
        if let Err(error) = done {
            failed(&error);
        }
    });
}
