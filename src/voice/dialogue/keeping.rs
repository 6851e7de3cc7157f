//! A turn that was answered here becomes durable: both sides at once, before a word is given.

use super::super::db;
use super::super::db::conversations::{NewMessage, NewTurn, Role};
use super::super::memory::{NewMemory, fresh_id, title_of};
use super::super::mind::Spoken;
use super::{Answer, Dialogue, MODEL, Reply, Turn, VoiceError};

impl Dialogue {
    /// Both sides of a turn that rules answered, the memory it made, and the end of its recording,
    /// in one transaction.
    pub(super) async fn store_turn(
        &self,
        turn: Turn,
        reply: Reply,
        answer: &Answer,
    ) -> Result<(), VoiceError> {
        let spoken = Spoken::of(&turn).map(|spoken| Spoken {
            memory: answer.memory_saved.as_ref().map(|saved| saved.id.clone()),
            ..spoken
        });
        let question = turn.question;
        if !question.remember && reply.clear.is_none() {
            return Ok(());
        }
        let said = NewMessage {
            id: fresh_id("msg_"),
            role: Role::User,
            content: question.text,
            tokens: answer.input_tokens,
            model: None,
            recording_id: question.recording,
        };
        let answered = NewMessage {
            id: answer.id.clone(),
            role: Role::Assistant,
            content: reply.content,
            tokens: answer.output_tokens,
            model: Some(MODEL.to_owned()),
            recording_id: None,
        };
        let record = reply
            .record
            .map(NewMemory::check)
            .transpose()?
            .map(|memory| NewMemory {
                message_id: Some(said.id.clone()),
                ..memory
            });
        let turn = NewTurn {
            conversation_id: turn.conversation_id,
            summary: title_of(&said.content),
            said,
            answered,
            at: self.clock().wall(),
        };
        let clears = reply.clear.is_some();
        let keeps = question.remember;
        self.store()
            .write(move |connection| {
                if let Some(spoken) = spoken.filter(|_| keeps) {
                    spoken.answered(connection, turn.at)?;
                }
                if clears {
                    db::conversations::delete(connection, &turn.conversation_id)?;
                }
                if keeps {
                    db::conversations::insert_turn(connection, &turn)?;
                }
                match &record {
                    Some(memory) => db::memories::insert(connection, memory),
                    None => Ok(()),
                }
            })
            .await
    }
}
