//! "Don't remember this": what is said from then on, and what was said just before, is never
//! filed by itself. What a person explicitly asks to keep is kept all the same.

use super::db;
use super::dialogue::{Dialogue, Turn, VoiceError};
use super::rules::replies;

impl Dialogue {
    /// Switches private mode and tells what to say about it.
    pub(super) async fn private(&self, on: bool, turn: &Turn) -> Result<String, VoiceError> {
        self.memories().set_private(on).await?;
        if on {
            let conversation = turn.conversation_id.clone();
            self.store()
                .write(move |connection| db::filing::hide_last_turn(connection, &conversation))
                .await?;
        }
        Ok(replies::private(turn.language(), on))
    }
}
