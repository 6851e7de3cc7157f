//! Who is asked when somebody fails, with engines that do as they are told.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::limits::BREAKER_OPEN_MAX;

/// Fails as often as it is told, then answers.
struct Told {
    name: &'static str,
    errors: RefCell<VecDeque<EngineError>>,
    asked: Cell<usize>,
    hangs: Cell<bool>,
}

impl Told {
    fn new(name: &'static str) -> Rc<Told> {
        Rc::new(Told {
            name,
            errors: RefCell::default(),
            asked: Cell::new(0),
            hangs: Cell::new(false),
        })
    }

    fn fail(&self, times: usize, error: &EngineError) {
        let errors = std::iter::repeat_n(error.clone(), times);
        self.errors.borrow_mut().extend(errors);
    }
}

impl Stt for Told {
    fn name(&self) -> &str {
        self.name
    }

    fn transcribe<'a>(&'a self, _: &'a Sound, _: &'a SttOptions) -> Call<'a, Transcript> {
        Box::pin(async {
            self.asked.set(self.asked.get() + 1);
            if self.hangs.get() {
                std::future::pending::<()>().await;
            }
            match self.errors.borrow_mut().pop_front() {
                Some(error) => Err(error),
                None => Ok(Transcript {
                    text: self.name.to_owned(),
                    provider: Rc::from(self.name),
                    ..Transcript::default()
                }),
            }
        })
    }
}

impl Llm for Told {
    fn name(&self) -> &str {
        self.name
    }

    fn chat<'a>(
        &'a self,
        _: &'a ChatRequest,
        on_text: &'a mut dyn FnMut(&str),
    ) -> Call<'a, ChatReply> {
        Box::pin(async move {
            let error = self.errors.borrow_mut().pop_front();
            if !matches!(error, Some(EngineError::Unreachable(_))) {
                on_text(self.name);
            }
            match error {
                Some(error) => Err(error),
                None => Ok(ChatReply {
                    text: self.name.to_owned(),
                    ..ChatReply::default()
                }),
            }
        })
    }
}

struct Rig {
    far: Rc<Told>,
    near: Rc<Told>,
    clock: Clock,
    network: Network,
    chain: Chain<dyn Stt>,
}

fn rig() -> Rig {
    let (far, near) = (Told::new("far"), Told::new("near"));
    let clock = Clock::manual(UnixMillis(1_700_000_000_000));
    let network = Network::default();
    let limit = Limit(Duration::from_secs(10));
    let members: Vec<Member<dyn Stt>> = vec![
        Member::new(far.clone(), Place::World, 1, limit),
        Member::new(near.clone(), Place::Here, 1, limit),
    ];
    let chain = Chain::new(members, network.clone(), clock.clone());
    Rig {
        far,
        near,
        clock,
        network,
        chain,
    }
}

impl Rig {
    async fn heard(&self) -> Result<String, EngineError> {
        let sound = Sound::new(vec![0; 160]);
        let options = SttOptions::default();
        let transcript = self.chain.transcribe(&sound, &options).await?;
        Ok(transcript.text)
    }
}

fn paused<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(work)
}

fn broken() -> EngineError {
    EngineError::Broken(String::from("500"))
}

#[test]
fn the_next_one_answers_and_after_three_failures_the_first_is_left_alone() {
    paused(async {
        let rig = rig();
        rig.far.fail(4, &broken());
        for asked in [1, 2, 3, 3, 3] {
            assert_eq!(rig.heard().await.as_deref(), Ok("near"));
            assert_eq!(rig.far.asked.get(), asked);
        }
        rig.clock.advance(Duration::from_secs(30));
        assert_eq!(
            rig.heard().await.as_deref(),
            Ok("near"),
            "the probe failed too"
        );
        rig.clock.advance(Duration::from_secs(30));
        assert_eq!(rig.heard().await.as_deref(), Ok("near"));
        assert_eq!(rig.far.asked.get(), 4, "twice as long this time");
        rig.clock.advance(Duration::from_secs(30));
        assert_eq!(rig.heard().await.as_deref(), Ok("far"));
        let members = rig.chain.members();
        assert!(members.iter().all(|member| member.ok), "{members:?}");
    });
}

#[test]
fn one_that_needs_a_network_that_is_down_is_passed_over_at_once() {
    paused(async {
        let rig = rig();
        rig.far
            .fail(2, &EngineError::Unreachable(String::from("no route")));
        for _ in 0..4 {
            assert_eq!(rig.heard().await.as_deref(), Ok("near"));
        }
        assert_eq!(rig.far.asked.get(), 2);
        assert!(rig.network.is_down());
        assert_eq!(rig.chain.name(), "near");
        rig.network.note(Ok(()));
        assert_eq!(rig.heard().await.as_deref(), Ok("far"));
    });
}

#[test]
fn one_that_hangs_is_not_waited_for_longer_than_its_limit() {
    paused(async {
        let rig = rig();
        rig.far.hangs.set(true);
        let began = tokio::time::Instant::now();
        assert_eq!(rig.heard().await.as_deref(), Ok("near"));
        assert_eq!(began.elapsed().as_secs(), 10);
    });
}

#[test]
fn a_refusal_is_no_failure_of_the_provider() {
    paused(async {
        let rig = rig();
        let refusal = EngineError::Rejected(String::from("too short"));
        rig.far.fail(10, &refusal);
        rig.near.fail(10, &EngineError::Busy);
        for _ in 0..5 {
            assert_eq!(
                rig.heard().await,
                Err(refusal.clone()),
                "the first's error is told"
            );
        }
        assert_eq!((rig.far.asked.get(), rig.near.asked.get()), (5, 5));
    });
}

#[test]
fn patience_that_is_asked_for_is_given() {
    paused(async {
        let rig = rig();
        let limited = EngineError::Limited {
            what: String::from("429"),
            retry_after: Some(Duration::from_secs(7)),
        };
        rig.far.fail(1, &limited);
        for (passed, who) in [(0, "near"), (6, "near"), (1, "far")] {
            rig.clock.advance(Duration::from_secs(passed));
            assert_eq!(rig.heard().await.as_deref(), Ok(who));
        }
    });
}

#[test]
fn a_probe_that_is_cancelled_leaves_the_way_open() {
    paused(async {
        let rig = rig();
        rig.far.fail(3, &broken());
        for _ in 0..3 {
            rig.heard().await.expect("near answers");
        }
        rig.clock.advance(Duration::from_secs(30));
        rig.far.hangs.set(true);
        let given_up = tokio::time::timeout(Duration::from_secs(1), rig.heard()).await;
        assert!(given_up.is_err());
        rig.far.hangs.set(false);
        assert_eq!(rig.heard().await.as_deref(), Ok("far"));
    });
}

#[test]
fn an_answer_that_has_begun_is_never_begun_by_another() {
    paused(async {
        let (first, second) = (Told::new("first"), Told::new("second"));
        let limit = Limit(Duration::from_secs(8));
        let members: Vec<Member<dyn Llm>> = vec![
            Member::new(first.clone(), Place::World, 1, limit),
            Member::new(second, Place::World, 1, limit),
        ];
        let clock = Clock::manual(UnixMillis(0));
        let chain: Chain<dyn Llm> = Chain::new(members, Network::default(), clock);
        let request = ChatRequest::default();
        let mut said = String::new();
        first.fail(1, &EngineError::Unreachable(String::from("down")));
        let mut on_text = |text: &str| said.push_str(text);
        let reply = chain.chat(&request, &mut on_text).await;
        assert_eq!(reply.expect("the second answers").text, "second");
        first.fail(1, &broken());
        let mut on_text = |text: &str| said.push_str(text);
        let reply = chain.chat(&request, &mut on_text).await;
        assert_eq!(reply, Err(broken()));
        assert_eq!(said, "secondfirst");
    });
}

proptest! {
    /// Whatever happened before: once the longest wait is over and all are well, the first answers.
    #[test]
    fn a_chain_is_never_stuck(
        steps in prop::collection::vec((0..6u8, 0..6u8, 0..400u64), 0..40),
    ) {
        paused(async {
            let rig = rig();
            let errors = [
                broken(),
                EngineError::Unreachable(String::from("down")),
                EngineError::Timeout(Duration::from_secs(1)),
                EngineError::Limited { what: String::from("429"), retry_after: Some(Duration::from_secs(700)) },
                EngineError::Rejected(String::from("400")),
            ];
            for (far, near, seconds) in steps {
                for (engine, kind) in [(&rig.far, far), (&rig.near, near)] {
                    engine.errors.borrow_mut().clear();
                    if let Some(error) = errors.get(usize::from(kind)) {
                        engine.fail(1, error);
                    }
                }
                let well = usize::from(near) >= errors.len();
                let heard = rig.heard().await;
                prop_assert!(heard.is_ok() || !well, "near was well and was not asked: {:?}", heard);
                rig.clock.advance(Duration::from_secs(seconds));
            }
            rig.far.errors.borrow_mut().clear();
            rig.clock.advance(BREAKER_OPEN_MAX);
            rig.network.note(Ok(()));
            let heard = rig.heard().await;
            prop_assert_eq!(heard.as_deref(), Ok("far"));
            Ok(())
        })?;
    }
}
