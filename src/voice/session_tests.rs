//! Cancelling races every stage of a turn, in virtual time, with engines of random slowness.
//!
//! Whatever is asked and whenever: each turn ends once, nothing of it is told or heard after its
//! end, no engine works on for it, and the endpoint comes to rest. The seed is printed; set
//! `MAGPIE_SEED` to run one again.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use super::port::{Ear, Mouth, News, Port, Work};
use super::providers::sound::Pieces;
use super::providers::{
    Call, ChatReply, ChatRequest, EngineError, Engines, Llm, Sound, Speech, SpeechStream, Stt,
    SttOptions, Transcript, Tts,
};
use super::reply::Sentences;
use super::sentence::Sentence;
use super::session::{Ask, Manner, Session};
use super::turn::{Ends, Event, Phase, State, Turn};
use super::*;
use crate::audio::{AudioOptions, FRAME_SAMPLES};
use crate::clock::UnixMillis;
use crate::outbound::OutboundOptions;
use crate::store::{Durability, StoreOptions};

mod unanswered_tests;

const RUNS: u64 = 40;
/// No further run begins after it, on a machine that is busy with other things.
const RUNS_TIME: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(4);

/// Numbers that a seed gives (xorshift).
#[derive(Clone)]
struct Dice(Rc<Cell<u64>>);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(Rc::new(Cell::new(seed | 1)))
    }

    fn below(&self, bound: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x % bound
    }

    async fn wait(&self, ms_max: u64) {
        tokio::time::sleep(Duration::from_millis(self.below(ms_max))).await;
    }
}

/// Slow engines; counts the calls that are under way.
#[derive(Clone)]
struct Slow {
    dice: Dice,
    working: Rc<Cell<usize>>,
}

struct Working(Rc<Cell<usize>>);

impl Slow {
    fn begin(&self) -> Working {
        self.working.set(self.working.get() + 1);
        Working(Rc::clone(&self.working))
    }

    fn fails(&self) -> bool {
        self.dice.below(8) == 0
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn broken() -> EngineError {
    EngineError::Broken(String::from("as the dice fell"))
}

impl Stt for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn transcribe<'a>(&'a self, _: &'a Sound, _: &'a SttOptions) -> Call<'a, Transcript> {
        Box::pin(async {
            let _working = self.begin();
            self.dice.wait(800).await;
            if self.fails() {
                return Err(broken());
            }
            Ok(Transcript {
                text: String::from("please tell me something about nothing"),
                ..Transcript::default()
            })
        })
    }
}

impl Llm for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn chat<'a>(
        &'a self,
        _: &'a ChatRequest,
        on_text: &'a mut dyn FnMut(&str),
    ) -> Call<'a, ChatReply> {
        Box::pin(async move {
            let _working = self.begin();
            self.dice.wait(1_000).await;
            let mut text = String::new();
            for _ in 0..self.dice.below(30) {
                let piece = "Some words, and then a few more. ";
                on_text(piece);
                text.push_str(piece);
                self.dice.wait(60).await;
                if self.dice.below(100) == 0 {
                    return Err(broken());
                }
            }
            Ok(ChatReply {
                text,
                ..ChatReply::default()
            })
        })
    }
}

impl Tts for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn synthesize<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> Call<'a, SpeechStream> {
        Box::pin(async {
            let working = self.begin();
            self.dice.wait(400).await;
            if self.fails() {
                return Err(broken());
            }
            Ok(SpeechStream::new(SlowPieces {
                dice: self.dice.clone(),
                left: self.dice.below(6),
                _working: working,
            }))
        })
    }
}

struct SlowPieces {
    dice: Dice,
    left: u64,
    _working: Working,
}

impl Pieces for SlowPieces {
    fn next(&mut self) -> Call<'_, Option<Speech>> {
        Box::pin(async {
            self.dice.wait(100).await;
            if self.left == 0 {
                return Ok(None);
            }
            self.left -= 1;
            Ok(Some(Speech {
                samples: vec![1; 4_800],
                rate_hz: 24_000,
            }))
        })
    }
}

/// Notes what is told and heard, turn by turn.
struct Witness {
    dice: Dice,
    done: RefCell<HashMap<Turn, usize>>,
    begun: RefCell<HashSet<Turn>>,
    late: RefCell<Vec<String>>,
    heard: Rc<RefCell<Vec<Turn>>>,
    open_ears: Rc<Cell<usize>>,
}

impl Witness {
    fn of(&self, turn: Turn, what: &str) {
        self.begun.borrow_mut().insert(turn);
        if self.done.borrow().contains_key(&turn) {
            self.late
                .borrow_mut()
                .push(format!("{what} of turn {turn}"));
        }
    }

    fn is_over(&self, turn: Turn) -> bool {
        self.done.borrow().contains_key(&turn)
    }
}

struct WitnessPort(Rc<Witness>);

impl Port for WitnessPort {
    fn name(&self) -> &'static str {
        "witness"
    }

    fn tell(&self, news: &News<'_>) {
        match news {
            News::Transcript { turn, .. } => self.0.of(*turn, "transcript"),
            News::Token { turn, .. } => self.0.of(*turn, "token"),
            News::Sentence { turn, .. } => self.0.of(*turn, "sentence"),
            News::Answer { turn, .. } => self.0.of(*turn, "answer"),
            News::Error {
                turn: Some(turn), ..
            } => self.0.of(*turn, "error"),
            News::State(state) => {
                self.0.begun.borrow_mut().extend(state.turn());
            }
            News::Done { turn, .. } => {
                *self.0.done.borrow_mut().entry(*turn).or_default() += 1;
            }
            _ => {}
        }
    }

    fn ear(&self) -> Work<'_, Box<dyn Ear>> {
        let open = Rc::clone(&self.0.open_ears);
        let dice = self.0.dice.clone();
        Box::pin(async move {
            dice.wait(30).await;
            open.set(open.get() + 1);
            Ok(Box::new(HummingEar {
                at: 0,
                left: 50 + dice.below(100),
                _open: Working(open),
            }) as Box<dyn Ear>)
        })
    }

    fn mouth(&self, turn: Turn) -> Result<Rc<dyn Mouth>, VoiceError> {
        Ok(Rc::new(WitnessMouth {
            witness: Rc::clone(&self.0),
            turn,
            said: Cell::default(),
            stopped: Cell::new(false),
        }))
    }
}

/// A voiced hum for a while, then the end.
struct HummingEar {
    at: u64,
    left: u64,
    _open: Working,
}

impl Ear for HummingEar {
    fn frame(&mut self) -> Work<'_, Option<[i16; FRAME_SAMPLES]>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(16)).await;
            if self.left == 0 {
                return Ok(None);
            }
            self.left -= 1;
            let mut frame = [0; FRAME_SAMPLES];
            for sample in &mut frame {
                // A pulse train of 125 Hz: what a voice is made of.
                *sample = if self.at % 128 < 8 { 12_000 } else { -800 };
                self.at += 1;
            }
            Ok(Some(frame))
        })
    }
}

struct WitnessMouth {
    witness: Rc<Witness>,
    turn: Turn,
    said: Cell<Duration>,
    stopped: Cell<bool>,
}

impl Mouth for WitnessMouth {
    fn say<'a>(&'a self, _: &'a Sentence, piece: &'a Speech) -> Work<'a, ()> {
        self.witness.of(self.turn, "sound");
        if self.stopped.get() {
            let late = format!("sound of turn {} after its stop", self.turn);
            self.witness.late.borrow_mut().push(late);
        }
        Box::pin(async {
            tokio::time::sleep(piece.duration()).await;
            self.said.set(self.said.get() + piece.duration());
            self.witness.heard.borrow_mut().push(self.turn);
            Ok(())
        })
    }

    fn end<'a>(&'a self, _: &'a Sentence) -> Work<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn finished(&self) -> Work<'_, ()> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(())
        })
    }

    fn played(&self) -> Duration {
        self.said.get()
    }

    fn stop(&self) {
        self.stopped.set(true);
    }
}

/// Time moves when the test says so, and never by itself: a blocking task keeps the runtime from
/// jumping ahead while the store's thread works.
fn in_virtual_time(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let holding = tokio::task::spawn_blocking(move || {
            let _ = held.recv();
        });
        work.await;
        drop(release);
        holding.await.expect("no panic");
    });
}

struct World {
    clock: Clock,
    store: Store,
    voice: Rc<Voice>,
    /// The voice's room with other engines: what waits in its queue is no work of a turn's.
    room: Rc<Room>,
    _data: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let data = tempfile::tempdir().expect("a folder");
        let (clock, metrics) = (
            Clock::manual(UnixMillis(1_750_000_000_000)),
            Registry::default(),
        );
        let store = Store::open(StoreOptions {
            path: data.path().join("voice-memory.db"),
            clock: clock.clone(),
            metrics: metrics.clone(),
            durability: Durability::Off,
        })
        .expect("the store opens");
        let silent = AudioOptions {
            input: String::from("off"),
            output: String::from("off"),
            period: Duration::from_millis(20),
            volume: 100,
        };
        let mut settings = VoiceSettings {
            data_dir: data.path().to_path_buf(),
            ..VoiceSettings::default()
        };
        settings.stt.provider = String::from("none");
        settings.tts.provider = String::from("none");
        let voice = Voice::start(VoiceParts {
            store: store.clone(),
            bus: Bus::default(),
            clock: clock.clone(),
            audio: Audio::start(silent, &metrics),
            outbound: Outbound::new(OutboundOptions::default(), &metrics).expect("a way out"),
            metrics,
            settings,
        });
        let whole = &voice.room;
        let room = Rc::new(Room {
            recordings: whole.recordings.clone(),
            dialogue: whole.dialogue.clone(),
            engines: RefCell::new(whole.engines()),
            world: whole.world.clone(),
            clock: clock.clone(),
            log: TurnLog::new(&Registry::default()),
            settings: RefCell::new(whole.settings()),
            sessions: Cell::new(0),
            triggers: Default::default(),
            actor: OnceCell::new(),
            stt_calls: Calls::default(),
            tts_calls: Calls::default(),
        });
        World {
            clock,
            store,
            voice,
            room,
            _data: data,
        }
    }

    /// Recordings that wait without a job, and sound without a row.
    fn unattended(&self) -> Vec<String> {
        let rows = self.store.read(db::recordings::unattended);
        let mut all = rows.expect("the store reads");
        let files = std::fs::read_dir(self._data.path().join("recordings"));
        for file in files.into_iter().flatten().flatten() {
            let name = file.file_name().into_string().expect("a name of ours");
            let (id, _) = name.split_once('.').expect("a name of ours");
            if self.room.recordings.get(id).expect("reads").is_none() {
                all.push(name);
            }
        }
        all
    }

    /// Gives the threads that write their time; virtual time stands still.
    async fn settled(&self, holds: impl Fn(&World) -> bool) {
        for _ in 0..6_000 {
            if holds(self) {
                return;
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it never came about");
    }

    async fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(STEP);
            self.clock.advance(step);
            tokio::time::advance(step).await;
            for _ in 0..6 {
                tokio::task::yield_now().await;
            }
            left -= step;
        }
    }
}

async fn one_run(world: &World, seed: u64) -> usize {
    let dice = Dice::new(seed);
    let slow = Slow {
        dice: dice.clone(),
        working: Rc::default(),
    };
    let engines = Engines {
        stt: Ok(Rc::new(slow.clone())),
        tts: Ok(Rc::new(slow.clone())),
        llm: Ok(Rc::new(slow.clone())),
    };
    let model = world.room.settings().model.clone();
    world.voice.dialogue.answer_with(engines.llm.clone(), model);
    world.room.engines.replace(Rc::new(engines));
    let witness = Rc::new(Witness {
        dice: dice.clone(),
        done: RefCell::default(),
        begun: RefCell::default(),
        late: RefCell::default(),
        heard: Rc::default(),
        open_ears: Rc::default(),
    });
    let port = Rc::new(WitnessPort(Rc::clone(&witness)));
    let room = Rc::clone(&world.room);
    // A conversation of its own: a long one is summed up behind the turns, on purpose.
    world
        .clock
        .advance(world.room.settings().conversation_idle * 2);
    let session = Session::start(room, port, State::new(false, false));
    let manner = || Manner {
        speak: dice.below(5) > 0,
        ..Manner::default()
    };
    let mut cancels = 0;
    for _ in 0..1 + dice.below(4) {
        let ask = match dice.below(4) {
            0 => Ask::Utterance {
                samples: vec![0; 8_000],
                encoded: None,
                weight: None,
                manner: manner(),
            },
            1 => Ask::Text {
                text: String::from("please tell me something about nothing"),
                manner: manner(),
            },
            2 => Ask::Say(Rc::new(Sentences::of(
                "One sentence. And another one, which is longer.",
            ))),
            _ => Ask::Listen {
                ends: Ends::ByHand,
                manner: manner(),
            },
        };
        session.ask(ask).expect("the queue has room");
        world.pass(Duration::from_millis(dice.below(3_000))).await;
        let cancel = match dice.below(5) {
            0 => Event::BargeIn,
            1 => Event::Press,
            2 => Event::EndListening,
            _ => Event::Interrupt,
        };
        session.event(cancel).expect("the queue has room");
        cancels += 1;
        world.pass(Duration::from_millis(dice.below(40))).await;
    }
    session.event(Event::Release).expect("the queue has room");
    session.event(Event::Interrupt).expect("the queue has room");
    world.pass(Duration::from_millis(200)).await;
    assert!(
        matches!(session.state().phase, Phase::Idle),
        "seed {seed}: {:?}",
        session.state()
    );
    assert_eq!(slow.working.get(), 0, "seed {seed}: an engine works on");
    assert_eq!(witness.open_ears.get(), 0, "seed {seed}: an ear is open");
    world.pass(Duration::from_secs(2)).await;
    let late = witness.late.borrow();
    assert!(late.is_empty(), "seed {seed}: {late:?}");
    for turn in witness.begun.borrow().iter() {
        let ends = witness.done.borrow().get(turn).copied().unwrap_or(0);
        assert_eq!(ends, 1, "seed {seed}: turn {turn} ended {ends} times");
        assert!(witness.is_over(*turn));
    }
    cancels
}

#[test]
fn cancelling_races_every_stage_and_a_turn_still_ends_once() {
    let given = std::env::var("MAGPIE_SEED").ok();
    let given: Option<u64> = given.and_then(|seed| seed.parse().ok());
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("randomness");
    let first = given.unwrap_or(u64::from_ne_bytes(random) >> 16);
    println!("MAGPIE_SEED={first}");
    let runs = if given.is_some() { 1 } else { RUNS };
    let cancels = Rc::new(Cell::new(0_u64));
    let counted = Rc::clone(&cancels);
    in_virtual_time(async move {
        let world = World::new();
        let began = std::time::Instant::now();
        for run in 0..runs {
            if began.elapsed() > RUNS_TIME {
                break;
            }
            let cancelled = one_run(&world, first.wrapping_add(run * 7_919)).await;
            counted.set(counted.get() + cancelled as u64);
        }
        world.settled(|world| world.unattended().is_empty()).await;
        let unattended = world.unattended();
        assert!(unattended.is_empty(), "wait for nobody: {unattended:?}");
        let World {
            store, voice, room, ..
        } = world;
        drop((voice, room));
        tokio::time::resume();
        store.close().await.expect("the store closes");
    });
    println!("at most {runs} runs, {} cancels", cancels.get());
    assert!(cancels.get() > 0, "nothing was cancelled");
}
