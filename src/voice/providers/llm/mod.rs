//! Language models: what turns a conversation into an answer, streamed as it is written.
//!
//! A model is anything behind [`Llm`]. A call gives its text piece by piece and the whole at the
//! end, with the tools it wants called; nothing of it is executed here. Dropping a call closes
//! the connection, and with it what the model costs.

use serde_json::Value;

use super::{Call, EngineError, MemberHealth};
use crate::voice::recall::estimated_tokens;

pub mod anthropic;
mod call;
pub mod choice;
pub mod openai;

pub use call::Way;
use call::{Assembler, Assembly};

/// A conversation into an answer.
pub trait Llm {
    /// The provider, as `provider` of an answer says it.
    fn name(&self) -> &str;
    /// `on_text` gets the answer's text as it comes; an error may come after some of it.
    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        on_text: &'a mut dyn FnMut(&str),
    ) -> Call<'a, ChatReply>;
    /// How those do that stand behind it, in the order in which they are asked.
    fn members(&self) -> Vec<MemberHealth> {
        Vec::new()
    }
}

/// What a model is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// Rules that stand above the conversation.
    pub system: String,
    /// Oldest first; the last is the person's or holds the results of tools.
    pub messages: Vec<ChatMessage>,
    pub tools: Vec<ToolSpec>,
    /// Of the answer.
    pub max_tokens: u32,
    /// `None`: the one of the settings.
    pub model: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ChatMessage {
    User(String),
    Assistant {
        text: String,
        calls: Vec<ToolCall>,
    },
    /// One for each call of the message before.
    ToolResults(Vec<ToolResult>),
}

/// A tool as it is offered to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    pub name: &'static str,
    pub description: &'static str,
    /// JSON Schema of its input, an object.
    pub schema: Value,
}

/// A tool that the model wants called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's id, which its result must carry.
    pub id: String,
    pub name: String,
    /// JSON as the model wrote it; not checked.
    pub input: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    pub call_id: String,
    /// Data for the model, never instructions.
    pub content: String,
    pub is_error: bool,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    #[default]
    End,
    /// `max_tokens` were written.
    Length,
    /// Tools are to be called.
    Tools,
    /// The provider would not answer.
    Refused,
}

/// As the provider counted; estimated where it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input_tokens: u32,
    pub output_tokens: u32,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatReply {
    pub text: String,
    pub calls: Vec<ToolCall>,
    pub stop: Stop,
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    pub model: String,
    pub provider: String,
}

/// Of everything that is asked, where the provider does not count.
fn estimated_input(request: &ChatRequest) -> u32 {
    let of_message = |message: &ChatMessage| match message {
        ChatMessage::User(text) => estimated_tokens(text),
        ChatMessage::Assistant { text, calls } => {
            let of_calls = calls.iter().map(|call| estimated_tokens(&call.input));
            estimated_tokens(text) + of_calls.sum::<u32>()
        }
        ChatMessage::ToolResults(results) => results
            .iter()
            .map(|result| estimated_tokens(&result.content))
            .sum(),
    };
    let messages: u32 = request.messages.iter().map(of_message).sum();
    estimated_tokens(&request.system) + messages
}

/// Puts an Anthropic answer together from its stream cut into `pieces`, telling its text.
pub fn read_anthropic<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    on_text: &mut dyn FnMut(&str),
) -> Result<ChatReply, EngineError> {
    read::<anthropic::Messages>(pieces, on_text)
}

/// As [`read_anthropic`] for chat completions.
pub fn read_openai<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    on_text: &mut dyn FnMut(&str),
) -> Result<ChatReply, EngineError> {
    read::<openai::Completion>(pieces, on_text)
}

fn read<'a, A: Assembly>(
    pieces: impl Iterator<Item = &'a [u8]>,
    on_text: &mut dyn FnMut(&str),
) -> Result<ChatReply, EngineError> {
    let mut assembler = Assembler::<A>::new();
    for piece in pieces {
        if assembler.push(piece, on_text)? {
            break;
        }
    }
    assembler.whole()
}

#[cfg(test)]
mod tests;
