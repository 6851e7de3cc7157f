//! The few things a box has to be able to say when its voice cannot be reached, made beforehand.
//!
//! They are made once, a while after the start, by the voice that is first asked, and lie with the
//! other kept speech. A voice of this machine needs none of it.

use std::rc::Weak;

use super::rules::{Language, replies};
use super::sentence::Cutter;
use super::session::Room;
use crate::limits::{PHRASES_AFTER, PHRASES_AGAIN, PHRASES_PAUSE};

/// Ends with the room, or once all are made.
pub(super) async fn keep_ready(room: Weak<Room>) {
    tokio::time::sleep(PHRASES_AFTER).await;
    loop {
        let Some(room) = room.upgrade() else {
            return;
        };
        if make_all(&room).await {
            return;
        }
        drop(room);
        tokio::time::sleep(PHRASES_AGAIN).await;
    }
}

/// Whether all are there; stops at the first that cannot be made.
async fn make_all(room: &Room) -> bool {
    let languages: &[Language] = match room.settings().language.as_deref() {
        Some("zh") => &[Language::Chinese],
        Some(_) => &[Language::English],
        None => &[Language::English, Language::Chinese],
    };
    for language in languages {
        for sentence in sentences(*language) {
            let Ok(voice) = room.engines().tts.clone() else {
                return true;
            };
            if let Err(error) = voice.prepare(&sentence).await {
                log::info!("event=phrase_not_made error=\"{error}\"");
                return false;
            }
            tokio::time::sleep(PHRASES_PAUSE).await;
        }
    }
    true
}

/// Cut as an answer is, since each sentence is kept by itself.
fn sentences(language: Language) -> Vec<String> {
    let texts = [
        replies::model_away(language),
        replies::model_away_for_now(language),
        replies::model_broke_off(language),
        replies::model_silent(language),
        replies::not_recorded(language),
    ];
    let mut all = Vec::new();
    for text in texts {
        let mut cutter = Cutter::default();
        let mut sentences = Vec::new();
        cutter.push(&text, &mut sentences);
        sentences.extend(cutter.finish());
        all.extend(sentences.into_iter().map(|sentence| sentence.text));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_ready_is_short_and_in_both_languages() {
        for language in [Language::English, Language::Chinese] {
            let all = sentences(language);
            let chars: usize = all.iter().map(|text| text.chars().count()).sum();
            assert!(all.len() >= 4 && chars < 800, "{all:?}");
        }
    }
}
