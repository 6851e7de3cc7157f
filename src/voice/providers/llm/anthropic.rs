//! Anthropic's Messages API, streamed (`POST {base}/v1/messages`, version 2023-06-01).
//!
//! Text and tool calls are taken from the stream; thinking, citations and kinds of events and
//! blocks that are not known are passed over, as its versioning rules ask.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{Call, EngineError};
use super::call::{Assembly, ErrorBody, Way, broke_off, complete, not_understood, secret_header};
use super::{ChatMessage, ChatReply, ChatRequest, Llm, Stop, ToolCall, Usage};
use crate::limits::{LLM_ANSWER_BYTES_MAX, LLM_CALLS_MAX, LLM_TOOL_INPUT_BYTES_MAX};
use crate::outbound::CallRequest;
use crate::outbound::sse::Event;
use crate::voice::recall::estimated_tokens;

pub const NAME: &str = "anthropic";
pub const BASE_URL: &str = "https://api.anthropic.com";
pub const MODEL: &str = "claude-haiku-4-5";
const VERSION: &str = "2023-06-01";

pub struct Anthropic {
    pub way: Way,
    /// Where a request names none.
    pub model: String,
}

impl Llm for Anthropic {
    fn name(&self) -> &str {
        NAME
    }

    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        on_text: &'a mut dyn FnMut(&str),
    ) -> Call<'a, ChatReply> {
        Box::pin(async move {
            let model = request.model.as_deref().unwrap_or(&self.model);
            let call = self.call(request, model)?;
            let reply = self.way.stream::<Messages>(call, on_text).await?;
            Ok(complete(reply, NAME, model, request))
        })
    }
}

impl Anthropic {
    fn call(&self, request: &ChatRequest, model: &str) -> Result<CallRequest, EngineError> {
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
        if let Some(key) = &self.way.key {
            headers.insert("x-api-key", secret_header(key, self.way.key_setting)?);
        }
        let body = body(request, model);
        Ok(self.way.post("/v1/messages", headers, &body))
    }
}

fn body(request: &ChatRequest, model: &str) -> Value {
    let messages: Vec<Value> = request.messages.iter().filter_map(message).collect();
    let mut body = json!({
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": messages,
        "stream": true,
    });
    if !request.system.is_empty() {
        body["system"] = json!(request.system);
    }
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.schema,
            })
        });
        body["tools"] = tools.collect();
    }
    body
}

/// `None` for what the API refuses: a message without content.
fn message(message: &ChatMessage) -> Option<Value> {
    let (role, content): (_, Vec<Value>) = match message {
        ChatMessage::User(text) => ("user", text_block(text).into_iter().collect()),
        ChatMessage::Assistant { text, calls } => {
            let calls = calls.iter().map(|call| {
                let input = serde_json::from_str::<Value>(&call.input).ok();
                let input = input.filter(Value::is_object).unwrap_or_else(|| json!({}));
                json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input })
            });
            (
                "assistant",
                text_block(text).into_iter().chain(calls).collect(),
            )
        }
        ChatMessage::ToolResults(results) => {
            let results = results.iter().map(|result| {
                json!({
                    "type": "tool_result",
                    "tool_use_id": result.call_id,
                    "content": result.content,
                    "is_error": result.is_error,
                })
            });
            ("user", results.collect())
        }
    };
    (!content.is_empty()).then(|| json!({ "role": role, "content": content }))
}

fn text_block(text: &str) -> Option<Value> {
    let text = text.trim_end();
    (!text.is_empty()).then(|| json!({ "type": "text", "text": text }))
}

/// One answer on its way.
#[derive(Default)]
pub struct Messages {
    model: String,
    text: String,
    /// By the index of their block.
    calls: BTreeMap<u32, ToolCall>,
    usage: Usage,
    stop: Option<Stop>,
    is_cut: bool,
}

#[derive(Deserialize)]
struct MessageStart {
    message: Begun,
}

#[derive(Deserialize)]
struct Begun {
    #[serde(default)]
    model: String,
    usage: Option<Counted>,
}

#[derive(Deserialize)]
struct Counted {
    input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
    cache_read_input_tokens: Option<u32>,
    output_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct BlockStart {
    index: u32,
    content_block: Block,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Option<Value>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct BlockDelta {
    index: u32,
    delta: Delta,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageDelta {
    delta: Ended,
    usage: Option<Counted>,
}

#[derive(Deserialize)]
struct Ended {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Failed {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

impl Assembly for Messages {
    fn take(&mut self, event: &Event, on_text: &mut dyn FnMut(&str)) -> Result<bool, EngineError> {
        let typed;
        let name = match event.name.as_str() {
            // Relays may leave the name out; the data has it too.
            "" => {
                typed = read::<Typed>(event)?.kind;
                typed.as_str()
            }
            name => name,
        };
        match name {
            "message_start" => {
                let begun = read::<MessageStart>(event)?.message;
                self.model = begun.model;
                self.count(begun.usage);
            }
            "content_block_start" => self.begin(read(event)?, on_text)?,
            "content_block_delta" => self.add(read(event)?, on_text)?,
            "message_delta" => {
                let ended: MessageDelta = read(event)?;
                self.count(ended.usage);
                if let Some(reason) = ended.delta.stop_reason {
                    self.stop = Some(stop(&reason));
                }
            }
            "message_stop" => {
                self.stop.get_or_insert_default();
                return Ok(true);
            }
            "error" => return Err(read::<Failed>(event)?.error.class()),
            // Pings, ends of blocks, and what a later version adds.
            _ => {}
        }
        Ok(self.is_cut)
    }

    fn has_begun(&self) -> bool {
        !self.text.is_empty() || !self.calls.is_empty()
    }

    fn whole(self) -> Result<ChatReply, EngineError> {
        let stop = self.stop.ok_or_else(broke_off)?;
        let mut usage = self.usage;
        if usage.output_tokens == 0 {
            usage.output_tokens = estimated_tokens(&self.text);
        }
        Ok(ChatReply {
            text: self.text,
            calls: self.calls.into_values().collect(),
            stop,
            usage,
            model: self.model,
            provider: String::new(),
        })
    }
}

impl Messages {
    fn begin(
        &mut self,
        start: BlockStart,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<(), EngineError> {
        match start.content_block {
            Block::Text { text } => self.say(&text, on_text),
            Block::ToolUse { id, name, input } => {
                if self.calls.len() == LLM_CALLS_MAX {
                    return Err(EngineError::Broken(format!(
                        "the model wants more than {LLM_CALLS_MAX} tools at once"
                    )));
                }
                let given =
                    input.filter(|input| input.as_object().is_some_and(|it| !it.is_empty()));
                let input = given.map(|input| input.to_string()).unwrap_or_default();
                self.calls.insert(start.index, ToolCall { id, name, input });
            }
            Block::Other => {}
        }
        Ok(())
    }

    fn add(&mut self, piece: BlockDelta, on_text: &mut dyn FnMut(&str)) -> Result<(), EngineError> {
        match piece.delta {
            Delta::Text { text } => self.say(&text, on_text),
            Delta::Input { partial_json } => {
                let Some(call) = self.calls.get_mut(&piece.index) else {
                    return Ok(());
                };
                call.input.push_str(&partial_json);
                if call.input.len() > LLM_TOOL_INPUT_BYTES_MAX {
                    return Err(EngineError::Broken(String::from(
                        "the model gives a tool more than it takes",
                    )));
                }
            }
            Delta::Other => {}
        }
        Ok(())
    }

    fn say(&mut self, text: &str, on_text: &mut dyn FnMut(&str)) {
        if text.is_empty() || self.is_cut {
            return;
        }
        self.text.push_str(text);
        on_text(text);
        if self.text.len() > LLM_ANSWER_BYTES_MAX {
            self.is_cut = true;
            self.stop = Some(Stop::Length);
        }
    }

    fn count(&mut self, counted: Option<Counted>) {
        let Some(counted) = counted else { return };
        let input = [
            counted.input_tokens,
            counted.cache_creation_input_tokens,
            counted.cache_read_input_tokens,
        ];
        let input = input
            .iter()
            .flatten()
            .fold(0u32, |sum, count| sum.saturating_add(*count));
        if input > 0 {
            self.usage.input_tokens = input;
        }
        if let Some(output) = counted.output_tokens.filter(|count| *count > 0) {
            self.usage.output_tokens = output;
        }
    }
}

fn stop(reason: &str) -> Stop {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => Stop::Length,
        "tool_use" => Stop::Tools,
        "refusal" => Stop::Refused,
        _ => Stop::End,
    }
}

fn read<'a, T: Deserialize<'a>>(event: &'a Event) -> Result<T, EngineError> {
    serde_json::from_str(&event.data).map_err(|error| not_understood(&error))
}
