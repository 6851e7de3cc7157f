//! OpenAI's chat completions, streamed (`POST {base}/chat/completions`), and the many servers
//! that speak them: llama.cpp, Ollama, vLLM, LM Studio, DeepSeek, Groq and others.
//!
//! Taken as they come: `content` that is null, usage that is missing or comes with every piece,
//! tool calls without an index or in one piece, a stream that ends without `[DONE]`, an answer
//! that is no stream at all, thoughts written before the answer between `<think>` and `</think>`.

use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{Call, EngineError};
use super::call::{Assembly, ErrorBody, Way, broke_off, complete, not_understood, secret_header};
use super::{ChatMessage, ChatReply, ChatRequest, Llm, Stop, ToolCall, Usage};
use crate::limits::{LLM_ANSWER_BYTES_MAX, LLM_CALLS_MAX, LLM_TOOL_INPUT_BYTES_MAX};
use crate::outbound::CallRequest;
use crate::outbound::sse::Event;
use crate::voice::recall::estimated_tokens;

pub const NAME: &str = "openai";
pub const BASE_URL: &str = "https://api.openai.com/v1";
pub const MODEL: &str = "gpt-4o-mini";

pub struct OpenAi {
    pub way: Way,
    /// Where a request names none.
    pub model: String,
}

impl Llm for OpenAi {
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
            let reply = self.way.stream::<Completion>(call, on_text).await?;
            Ok(complete(reply, NAME, model, request))
        })
    }
}

impl OpenAi {
    fn call(&self, request: &ChatRequest, model: &str) -> Result<CallRequest, EngineError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &self.way.key {
            let bearer = secret_header(&format!("Bearer {key}"), self.way.key_setting)?;
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let is_openai = self.way.base_url.starts_with("https://api.openai.com/");
        let body = body(request, model, is_openai);
        Ok(self.way.post("/chat/completions", headers, &body))
    }
}

fn body(request: &ChatRequest, model: &str, is_openai: bool) -> Value {
    let system = (!request.system.is_empty())
        .then(|| json!({ "role": "system", "content": request.system }));
    let messages: Vec<Value> = system
        .into_iter()
        .chain(request.messages.iter().flat_map(messages))
        .collect();
    // OpenAI's newer models refuse `max_tokens`; other servers know nothing else.
    let limit = if is_openai {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    let mut body = json!({
        "model": model,
        "messages": messages,
        "stream": true,
        "stream_options": { "include_usage": true },
        limit: request.max_tokens,
    });
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.schema,
                },
            })
        });
        body["tools"] = tools.collect();
    }
    body
}

fn messages(message: &ChatMessage) -> Vec<Value> {
    match message {
        ChatMessage::User(text) => vec![json!({ "role": "user", "content": text })],
        ChatMessage::Assistant { text, calls } if calls.is_empty() => {
            vec![json!({ "role": "assistant", "content": text })]
        }
        ChatMessage::Assistant { text, calls } => {
            let calls: Vec<Value> = calls
                .iter()
                .map(|call| {
                    let input = match call.input.is_empty() {
                        true => "{}",
                        false => &call.input,
                    };
                    json!({
                        "id": call.id,
                        "type": "function",
                        "function": { "name": call.name, "arguments": input },
                    })
                })
                .collect();
            vec![json!({ "role": "assistant", "content": text, "tool_calls": calls })]
        }
        ChatMessage::ToolResults(results) => results
            .iter()
            .map(|result| {
                json!({
                    "role": "tool",
                    "tool_call_id": result.call_id,
                    "content": result.content,
                })
            })
            .collect(),
    }
}

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";

/// One answer on its way.
#[derive(Default)]
pub struct Completion {
    model: String,
    text: String,
    /// Each with the index it was given.
    calls: Vec<(u32, ToolCall)>,
    usage: Usage,
    stop: Option<Stop>,
    is_cut: bool,
    thoughts: Thoughts,
    /// Text of which it is not yet known whether it is an answer.
    held: String,
}

/// Whether the answer begins with thoughts, which are nobody's to hear.
#[derive(Default)]
enum Thoughts {
    /// Not enough of the text is known; it is held back.
    #[default]
    Unknown,
    Within,
    /// The answer itself comes; white space before its first word is left out.
    Over {
        begun: bool,
    },
}

#[derive(Deserialize)]
struct Chunk {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<Counted>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct Choice {
    /// `message` where the server does not stream.
    #[serde(alias = "message")]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Deserialize)]
struct CallPiece {
    index: Option<u32>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Counted {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
}

impl Assembly for Completion {
    fn take(&mut self, event: &Event, on_text: &mut dyn FnMut(&str)) -> Result<bool, EngineError> {
        let data = event.data.trim();
        if data == "[DONE]" {
            self.stop.get_or_insert_default();
            return Ok(true);
        }
        if data.is_empty() {
            return Ok(false);
        }
        self.chunk(data.as_bytes(), on_text)?;
        Ok(self.is_cut)
    }

    /// Thoughts count: a model that thinks is at work.
    fn has_begun(&self) -> bool {
        !self.text.is_empty() || !self.calls.is_empty() || matches!(self.thoughts, Thoughts::Within)
    }

    fn whole(mut self) -> Result<ChatReply, EngineError> {
        let mut stop = self.stop.ok_or_else(broke_off)?;
        if matches!(self.thoughts, Thoughts::Unknown) {
            self.text.push_str(self.held.trim());
        }
        // Some servers say "stop" where they mean tools.
        if stop == Stop::End && !self.calls.is_empty() {
            stop = Stop::Tools;
        }
        let mut usage = self.usage;
        if usage.output_tokens == 0 {
            usage.output_tokens = estimated_tokens(&self.text);
        }
        let calls = self.calls.into_iter().enumerate().map(|(at, (_, call))| {
            let id = match call.id.is_empty() {
                true => format!("call_{at}"),
                false => call.id,
            };
            ToolCall { id, ..call }
        });
        Ok(ChatReply {
            calls: calls.collect(),
            text: self.text,
            stop,
            usage,
            model: self.model,
            provider: String::new(),
        })
    }

    fn document(body: &[u8]) -> Result<ChatReply, EngineError> {
        let mut answer = Completion::default();
        answer.chunk(body, &mut |_| {})?;
        answer.whole()
    }
}

impl Completion {
    fn chunk(&mut self, data: &[u8], on_text: &mut dyn FnMut(&str)) -> Result<(), EngineError> {
        let chunk: Chunk = serde_json::from_slice(data).map_err(|error| not_understood(&error))?;
        if let Some(error) = chunk.error {
            return Err(error.class());
        }
        if self.model.is_empty() {
            self.model = chunk.model.unwrap_or_default();
        }
        if let Some(counted) = chunk.usage {
            let set = |count: &mut u32, counted: Option<u32>| {
                if let Some(counted) = counted.filter(|counted| *counted > 0) {
                    *count = counted;
                }
            };
            set(&mut self.usage.input_tokens, counted.prompt_tokens);
            set(&mut self.usage.output_tokens, counted.completion_tokens);
        }
        let Some(choice) = chunk.choices.into_iter().flatten().next() else {
            return Ok(());
        };
        if let Some(delta) = choice.delta {
            for text in [delta.content, delta.refusal].into_iter().flatten() {
                self.say(&text, on_text);
            }
            for piece in delta.tool_calls.into_iter().flatten() {
                self.add(piece)?;
            }
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            self.stop.get_or_insert(stop(&reason));
        }
        Ok(())
    }

    fn say(&mut self, text: &str, on_text: &mut dyn FnMut(&str)) {
        if text.is_empty() || self.is_cut {
            return;
        }
        if let Thoughts::Over { begun: true } = self.thoughts {
            self.give(text, on_text);
            return;
        }
        self.held.push_str(text);
        if matches!(self.thoughts, Thoughts::Unknown) {
            let begin = self.held.trim_start().to_owned();
            if !begin.starts_with(THINK) && THINK.starts_with(&begin) {
                self.held = begin;
                return;
            }
            self.thoughts = match begin.starts_with(THINK) {
                true => Thoughts::Within,
                false => Thoughts::Over { begun: false },
            };
        }
        if matches!(self.thoughts, Thoughts::Within) {
            match self.held.find(THINK_END) {
                Some(at) => {
                    self.held.drain(..at + THINK_END.len());
                    self.thoughts = Thoughts::Over { begun: false };
                }
                None => {
                    // Only what may be the beginning of the end is still needed.
                    let keep = self.held.len().saturating_sub(THINK_END.len());
                    let keep = self.held.floor_char_boundary(keep);
                    self.held.drain(..keep);
                    return;
                }
            }
        }
        let held = std::mem::take(&mut self.held);
        let words = held.trim_start();
        if !words.is_empty() {
            self.thoughts = Thoughts::Over { begun: true };
            self.give(words, on_text);
        }
    }

    fn give(&mut self, text: &str, on_text: &mut dyn FnMut(&str)) {
        self.text.push_str(text);
        on_text(text);
        if self.text.len() > LLM_ANSWER_BYTES_MAX {
            self.is_cut = true;
            self.stop = Some(Stop::Length);
        }
    }

    fn add(&mut self, piece: CallPiece) -> Result<(), EngineError> {
        let at = match piece.index {
            Some(index) => self.calls.iter().position(|(known, _)| *known == index),
            // Without an index a new id begins a new call.
            None => match &piece.id {
                Some(id) => self.calls.iter().position(|(_, call)| call.id == *id),
                None => self.calls.len().checked_sub(1),
            },
        };
        let at = match at {
            Some(at) => at,
            None if self.calls.len() == LLM_CALLS_MAX => {
                return Err(EngineError::Broken(format!(
                    "the model wants more than {LLM_CALLS_MAX} tools at once"
                )));
            }
            None => {
                let index = piece.index.unwrap_or(self.calls.len() as u32);
                let call = ToolCall {
                    id: String::new(),
                    name: String::new(),
                    input: String::new(),
                };
                self.calls.push((index, call));
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at].1;
        if let Some(id) = piece.id.filter(|_| call.id.is_empty()) {
            call.id = id;
        }
        let Some(function) = piece.function else {
            return Ok(());
        };
        if let Some(name) = function.name.filter(|_| call.name.is_empty()) {
            call.name = name;
        }
        match function.arguments {
            Some(Value::String(text)) => call.input.push_str(&text),
            Some(object @ Value::Object(_)) => call.input = object.to_string(),
            _ => {}
        }
        if call.input.len() + call.id.len() + call.name.len() > LLM_TOOL_INPUT_BYTES_MAX {
            return Err(EngineError::Broken(String::from(
                "the model gives a tool more than it takes",
            )));
        }
        Ok(())
    }
}

fn stop(reason: &str) -> Stop {
    match reason {
        "length" => Stop::Length,
        "tool_calls" | "function_call" => Stop::Tools,
        "content_filter" => Stop::Refused,
        _ => Stop::End,
    }
}
