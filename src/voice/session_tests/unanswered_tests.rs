//! A spoken question whose turn ends before its answer.

use super::*;

/// Understands at once, and never answers.
struct Mute;

impl Stt for Mute {
    fn name(&self) -> &str {
        "mute"
    }

    fn transcribe<'a>(&'a self, _: &'a Sound, _: &'a SttOptions) -> Call<'a, Transcript> {
        Box::pin(std::future::ready(Ok(Transcript {
            text: String::from("please tell me something about nothing"),
            ..Transcript::default()
        })))
    }
}

impl Llm for Mute {
    fn name(&self) -> &str {
        "mute"
    }

    fn chat<'a>(&'a self, _: &'a ChatRequest, _: &'a mut dyn FnMut(&str)) -> Call<'a, ChatReply> {
        Box::pin(std::future::pending())
    }
}

/// Jobs of the one recording after a question was asked and this was done before its answer.
fn asked_in_vain(before_the_answer: impl AsyncFnOnce(&World, Session) + 'static) -> Vec<String> {
    let jobs = Rc::new(RefCell::new(Vec::new()));
    let found = Rc::clone(&jobs);
    in_virtual_time(async move {
        let world = World::new();
        let engines = Engines {
            stt: Ok(Rc::new(Mute)),
            tts: Err(broken()),
            llm: Ok(Rc::new(Mute)),
        };
        let model = world.room.settings().model.clone();
        world.voice.dialogue.answer_with(engines.llm.clone(), model);
        world.room.engines.replace(Rc::new(engines));
        let witness = Rc::new(Witness {
            dice: Dice::new(1),
            done: RefCell::default(),
            begun: RefCell::default(),
            late: RefCell::default(),
            heard: Rc::default(),
            open_ears: Rc::default(),
        });
        let port = Rc::new(WitnessPort(witness));
        let session = Session::start(Rc::clone(&world.room), port, State::new(false, false));
        let asked = session.ask(Ask::Utterance {
            samples: vec![0; 8_000],
            encoded: None,
            weight: None,
            manner: Manner::default(),
        });
        asked.expect("the queue has room");
        let thinks = session.downgrade();
        let is_thinking = |_: &World| {
            let state = thinks.upgrade().expect("it is held").state();
            matches!(state.phase, Phase::Thinking { .. })
        };
        world.settled(is_thinking).await;
        before_the_answer(&world, session).await;
        world.settled(World::is_understood).await;
        found.replace(world.jobs());
    });
    jobs.take()
}

impl World {
    /// Its row says that nothing is left to be done but what its jobs do.
    fn is_understood(&self) -> bool {
        let id = self.recording();
        let read = self
            .store
            .read(|connection| db::recordings::get(connection, &id));
        let row = read.expect("the store reads");
        row.is_some_and(|row| row.state == crate::voice::recordings::State::Done)
    }

    fn recording(&self) -> String {
        let files = std::fs::read_dir(self._data.path().join("recordings"));
        let file = files.into_iter().flatten().flatten().next();
        let name = file.and_then(|file| file.file_name().into_string().ok());
        let id = name.as_deref().and_then(|name| name.split('.').next());
        id.unwrap_or_default().to_string()
    }

    fn jobs(&self) -> Vec<String> {
        let id = self.recording();
        let read = self
            .store
            .read(|connection| db::jobs::states_of(connection, &id));
        let jobs = read.expect("the store reads").into_iter();
        jobs.map(|(kind, _)| kind).collect()
    }
}

#[test]
fn a_question_whose_answer_takes_too_long_is_answered_by_a_job() {
    let jobs = asked_in_vain(async |world, session| {
        world.pass(crate::limits::FIRST_TEXT_MAX + STEP * 2).await;
        assert!(matches!(session.state().phase, Phase::Error { .. }));
    });
    assert_eq!(jobs, ["reply"]);
}

#[test]
fn a_question_whose_client_is_lost_is_answered_by_a_job() {
    let jobs = asked_in_vain(async |_, session| drop(session));
    assert_eq!(jobs, ["reply"]);
}

#[test]
fn a_question_that_somebody_else_talks_over_is_answered_by_a_job() {
    let jobs = asked_in_vain(async |world, session: Session| {
        let asked = session.state().phase;
        let sentences = Rc::new(Sentences::default());
        session
            .ask(Ask::Say(sentences))
            .expect("the queue has room");
        world.settled(|_| session.state().phase != asked).await;
    });
    assert_eq!(jobs, ["reply"]);
}

#[test]
fn a_question_that_was_waved_away_is_not_answered() {
    let jobs = asked_in_vain(async |world, session: Session| {
        session.event(Event::Interrupt).expect("the queue has room");
        world
            .settled(|_| matches!(session.state().phase, Phase::Idle))
            .await;
    });
    assert!(jobs.is_empty(), "{jobs:?}");
}
