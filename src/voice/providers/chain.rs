//! Providers of one stage in the order in which they are asked.
//!
//! Each has a limit, a breaker and a record of how it does. One that is known to fail, or that
//! needs a network which is down, is passed over at once; the next one answers in its place. The
//! error of a chain in which nobody answered is that of the best provider that was asked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::breaker::{Breaker, Ended};
use super::network::{Network, is_near};
use super::sound::Pieces;
use super::{
    Call, ChatReply, ChatRequest, EngineError, FileWish, Llm, Sound, Speech, SpeechFile,
    SpeechStream, Stt, SttOptions, Transcript, Tts,
};
use crate::clock::{Clock, UnixMillis};
use crate::limits::BREAKER_OPEN;

pub struct Chain<E: ?Sized> {
    members: Vec<Rc<Member<E>>>,
    network: Network,
    clock: Clock,
}

/// One provider of a stage.
pub struct Member<E: ?Sized> {
    engine: Rc<E>,
    place: Place,
    /// Higher ones are asked first, equal ones in the order of the setting.
    weight: u32,
    limit: Limit,
    breaker: Cell<Breaker>,
    /// Returns of the network that the breaker has taken in.
    returns: Cell<u64>,
    record: RefCell<Record>,
}

/// Where a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A program of this machine.
    Here,
    /// A server that is reached without the internet.
    House,
    /// Out of reach when the internet is.
    World,
}

impl Place {
    pub fn of_server(base_url: &str) -> Place {
        if is_near(base_url) {
            Place::House
        } else {
            Place::World
        }
    }
}

/// How long a provider may take for its first result, while another one waits behind it.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub Duration);

#[derive(Clone, Debug, Default)]
struct Record {
    /// The last call to it went wrong by its own fault.
    failing: bool,
    last_error: Option<String>,
    last_ok_at: Option<UnixMillis>,
}

/// How one provider does, for `/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberHealth {
    pub name: String,
    /// It would be asked now, and did not fail the last time.
    pub ok: bool,
    /// `closed`, `open` or `probing`.
    pub breaker: &'static str,
    pub last_error: Option<String>,
    pub last_ok_at: Option<String>,
}

impl<E: ?Sized> Member<E> {
    pub fn new(engine: Rc<E>, place: Place, weight: u32, limit: Limit) -> Member<E> {
        Member {
            engine,
            place,
            weight,
            limit,
            breaker: Cell::default(),
            returns: Cell::new(0),
            record: RefCell::default(),
        }
    }

    /// What a provider out there did while the network was away says nothing of it now.
    fn renew(&self, network: &Network, clock: &Clock) {
        if self.place == Place::World
            && self.returns.replace(network.returned()) < network.returned()
        {
            self.breaker.set(self.breaker.get().renewed(clock.mono()));
        }
    }

    /// Whether it had failed before and is back with this.
    fn ended(&self, result: Result<(), &EngineError>, clock: &Clock) -> bool {
        let ended = match result {
            Ok(()) => Ended::Well,
            Err(error) => class(error),
        };
        self.breaker
            .set(self.breaker.get().end(ended, clock.mono()));
        let mut record = self.record.borrow_mut();
        match result {
            Ok(()) => {
                record.last_ok_at = Some(clock.wall());
                std::mem::take(&mut record.failing)
            }
            Err(error) => {
                record.failing |= ended != Ended::Otherwise;
                let told: String = error.to_string().chars().take(300).collect();
                record.last_error = Some(told);
                false
            }
        }
    }
}

/// What an error says about the provider.
fn class(error: &EngineError) -> Ended {
    match error {
        EngineError::Unreachable(_)
        | EngineError::Broken(_)
        | EngineError::Failed(_)
        | EngineError::Timeout(_) => Ended::Badly(None),
        EngineError::Limited { retry_after, .. } => Ended::Badly(*retry_after),
        EngineError::Missing(_)
        | EngineError::Busy
        | EngineError::Refused(_)
        | EngineError::Rejected(_) => Ended::Otherwise,
    }
}

/// A call under way; given up when dropped before its end.
struct UnderWay<'a, E: ?Sized> {
    member: &'a Member<E>,
    clock: &'a Clock,
    told: bool,
}

impl<E: ?Sized> UnderWay<'_, E> {
    fn end(mut self, result: Result<(), &EngineError>) -> bool {
        self.told = true;
        self.member.ended(result, self.clock)
    }
}

impl<E: ?Sized> Drop for UnderWay<'_, E> {
    fn drop(&mut self) {
        if !self.told {
            let breaker = self.member.breaker.get();
            let ended = breaker.end(Ended::Otherwise, self.clock.mono());
            self.member.breaker.set(ended);
        }
    }
}

impl<E: ?Sized> Chain<E> {
    /// `members` in the order of the setting; never empty.
    pub fn new(mut members: Vec<Member<E>>, network: Network, clock: Clock) -> Chain<E> {
        members.sort_by_key(|member| std::cmp::Reverse(member.weight));
        Chain {
            members: members.into_iter().map(Rc::new).collect(),
            network,
            clock,
        }
    }

    fn may_ask(&self, member: &Member<E>) -> bool {
        member.renew(&self.network, &self.clock);
        member.breaker.get().lets_through(self.clock.mono())
            && !(member.place == Place::World && self.network.is_down())
    }

    /// Those to ask now; behind them a program of this machine that was left alone, since a try of
    /// it costs little and may be all there is.
    fn askable(&self) -> Vec<Rc<Member<E>>> {
        let mut askable: Vec<_> = self
            .members
            .iter()
            .filter(|member| self.may_ask(member))
            .cloned()
            .collect();
        let here = |member: &&Rc<Member<E>>| member.place == Place::Here;
        let mut local = self.members.iter().filter(here);
        if let Some(last) = local.next_back()
            && !self.may_ask(last)
        {
            askable.push(Rc::clone(last));
        }
        askable
    }

    /// Asks one after the other until one answers. `may_go_on` says whether what a failed call did
    /// can still be taken over by the next.
    async fn ask<'a, T>(
        &'a self,
        ask: impl AsyncFn(&E) -> Result<T, EngineError>,
        may_go_on: impl Fn() -> bool,
    ) -> Result<(T, Rc<Member<E>>), EngineError> {
        self.ask_these(&self.askable(), ask, may_go_on).await
    }

    async fn ask_these<'a, T>(
        &'a self,
        askable: &[Rc<Member<E>>],
        ask: impl AsyncFn(&E) -> Result<T, EngineError>,
        may_go_on: impl Fn() -> bool,
    ) -> Result<(T, Rc<Member<E>>), EngineError> {
        let mut first_error = None;
        let count = askable.len();
        for (at, member) in askable.iter().enumerate() {
            let under_way = UnderWay {
                member,
                clock: &self.clock,
                told: false,
            };
            let now = self.clock.mono();
            member.breaker.set(member.breaker.get().begin(now));
            let call = ask(&member.engine);
            tokio::pin!(call);
            let result = if at + 1 < count {
                let limit = member.limit.0;
                match tokio::time::timeout(limit, &mut call).await {
                    Ok(result) => result,
                    Err(_) if may_go_on() => Err(EngineError::Timeout(limit)),
                    Err(_) => call.await,
                }
            } else {
                call.await
            };
            if under_way.end(result.as_ref().map(|_| ())) {
                self.network.note_return();
            }
            if member.place == Place::World {
                self.network.note(result.as_ref().map(|_| ()));
            }
            match result {
                Ok(value) => return Ok((value, Rc::clone(member))),
                Err(error) => {
                    log::info!(
                        "event=provider_failed kind={} error=\"{error}\"",
                        kind_of(&error)
                    );
                    first_error.get_or_insert(error);
                    if !may_go_on() {
                        break;
                    }
                }
            }
        }
        Err(first_error.unwrap_or_else(|| self.nobody()))
    }

    /// Why nobody was asked.
    fn nobody(&self) -> EngineError {
        if self.network.is_down()
            && self
                .members
                .iter()
                .all(|member| member.place == Place::World)
        {
            return EngineError::Unreachable(String::from(
                "the network is down; it is tried again by itself",
            ));
        }
        let last = self
            .members
            .iter()
            .find_map(|member| member.record.borrow().last_error.clone());
        EngineError::Broken(format!(
            "the provider failed again and again and is left alone for a moment{}",
            last.map(|error| format!(": {error}")).unwrap_or_default()
        ))
    }

    fn health(&self, name: impl Fn(&E) -> String) -> Vec<MemberHealth> {
        self.members
            .iter()
            .map(|member| {
                let record = member.record.borrow();
                MemberHealth {
                    name: name(&member.engine),
                    ok: self.may_ask(member) && !record.failing,
                    breaker: member.breaker.get().name(),
                    last_error: record.last_error.clone(),
                    last_ok_at: record.last_ok_at.map(UnixMillis::rfc3339),
                }
            })
            .collect()
    }

    /// Whoever would be asked first now.
    fn first(&self) -> &E {
        let askable = self.members.iter().find(|member| self.may_ask(member));
        &askable.unwrap_or(&self.members[0]).engine
    }
}

fn kind_of(error: &EngineError) -> &'static str {
    match error {
        EngineError::Missing(_) => "missing",
        EngineError::Failed(_) => "failed",
        EngineError::Timeout(_) => "timeout",
        EngineError::Busy => "busy",
        EngineError::Refused(_) => "refused",
        EngineError::Unreachable(_) => "unreachable",
        EngineError::Limited { .. } => "limited",
        EngineError::Broken(_) => "broken",
        EngineError::Rejected(_) => "rejected",
    }
}

impl Stt for Chain<dyn Stt> {
    fn name(&self) -> &str {
        self.first().name()
    }

    fn transcribe<'a>(&'a self, sound: &'a Sound, options: &'a SttOptions) -> Call<'a, Transcript> {
        Box::pin(async move {
            let ask = async |engine: &(dyn Stt + 'static)| engine.transcribe(sound, options).await;
            let (transcript, _) = self.ask(ask, || true).await?;
            Ok(transcript)
        })
    }

    fn members(&self) -> Vec<MemberHealth> {
        self.health(|engine| engine.name().to_owned())
    }
}

impl Tts for Chain<dyn Tts> {
    fn name(&self) -> &str {
        self.first().name()
    }

    fn synthesize<'a>(
        &'a self,
        text: &'a str,
        language: Option<&'a str>,
    ) -> Call<'a, SpeechStream> {
        Box::pin(async move {
            let ask = async |engine: &(dyn Tts + 'static)| engine.synthesize(text, language).await;
            let (stream, member) = self.ask(ask, || true).await?;
            let (network, clock) = (self.network.clone(), self.clock.clone());
            Ok(SpeechStream::new(Watched {
                stream,
                member,
                network,
                clock,
            }))
        })
    }

    fn encodes(&self) -> bool {
        self.first().encodes()
    }

    /// By those that make files and stand before all others; when they fail and another voice is
    /// left, that one has to speak.
    fn encode<'a>(&'a self, wish: &'a FileWish) -> Call<'a, Option<SpeechFile>> {
        Box::pin(async move {
            let askable = self.askable();
            let able = askable.iter().take_while(|member| member.engine.encodes());
            let able: Vec<_> = able.cloned().collect();
            if able.is_empty() {
                return Ok(None);
            }
            let ask = async |engine: &(dyn Tts + 'static)| engine.encode(wish).await;
            let is_own_wish = wish.voice.is_some() || wish.model.is_some();
            match self.ask_these(&able, ask, || true).await {
                Ok((file, _)) => Ok(file),
                Err(error @ EngineError::Rejected(_)) if is_own_wish => Err(error),
                Err(_) if able.len() < self.members.len() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn voice(&self) -> String {
        self.first().voice()
    }

    fn prepare<'a>(&'a self, text: &'a str) -> Call<'a, ()> {
        self.first().prepare(text)
    }

    fn next_voice(&self) -> bool {
        let askable = self.askable();
        if askable.len() < 2 {
            return false;
        }
        let now = self.clock.mono();
        let first = &askable[0].breaker;
        first.set(first.get().end(Ended::Badly(Some(BREAKER_OPEN)), now));
        true
    }

    fn members(&self) -> Vec<MemberHealth> {
        self.health(|engine| engine.name().to_owned())
    }
}

/// Speech whose breaking off is noted at the provider it came from.
struct Watched {
    stream: SpeechStream,
    member: Rc<Member<dyn Tts>>,
    network: Network,
    clock: Clock,
}

impl Pieces for Watched {
    fn next(&mut self) -> Call<'_, Option<Speech>> {
        Box::pin(async {
            let piece = self.stream.next().await;
            if let Err(error) = &piece {
                self.member.ended(Err(error), &self.clock);
                if self.member.place == Place::World {
                    self.network.note(Err(error));
                }
            }
            piece
        })
    }
}

impl Llm for Chain<dyn Llm> {
    fn name(&self) -> &str {
        self.first().name()
    }

    /// Once a word has come nobody else goes on with it: an answer is never begun twice.
    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        on_text: &'a mut dyn FnMut(&str),
    ) -> Call<'a, ChatReply> {
        let begun = Cell::new(false);
        let on_text = RefCell::new(on_text);
        Box::pin(async move {
            let ask = async |engine: &(dyn Llm + 'static)| {
                let mut watched = |text: &str| {
                    begun.set(true);
                    (on_text.borrow_mut())(text);
                };
                engine.chat(request, &mut watched).await
            };
            let (reply, _) = self.ask(ask, || !begun.get()).await?;
            Ok(reply)
        })
    }

    fn members(&self) -> Vec<MemberHealth> {
        self.health(|engine| engine.name().to_owned())
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
