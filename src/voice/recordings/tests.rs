//! No recording waits for nobody: whatever lets go of one, and whatever the last run left, its work
//! is in the queue or done.

use super::*;
use crate::audio::wav;
use crate::bus::Bus;
use crate::ops::Registry;
use crate::store::{Durability, StoreOptions};
use crate::voice::queue::{Fate, Job, Outcome, Pace, QueueParts, Settled, Work, Worker};

struct House {
    store: Store,
    folder: PathBuf,
    data: tempfile::TempDir,
}

/// A row as it stands: its state, whether it has a file, its words, and the states of its jobs.
type Row = (String, bool, Option<String>, Vec<(String, String)>);

impl House {
    fn new() -> House {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions {
            path: data.path().join("voice-memory.db"),
            clock: Clock::system(),
            metrics: Registry::default(),
            durability: Durability::Off,
        });
        let folder = data.path().join(FOLDER);
        std::fs::create_dir(&folder).unwrap();
        House {
            store: store.unwrap(),
            folder,
            data,
        }
    }

    fn start(&self) -> Recordings {
        let queue = Queue::start(QueueParts {
            store: self.store.clone(),
            bus: Bus::default(),
            clock: Clock::system(),
            metrics: Registry::default(),
            pace: Pace::of_days(30),
        });
        Recordings::start(RecordingsParts {
            store: self.store.clone(),
            clock: Clock::system(),
            queue,
            data_dir: self.data.path().to_path_buf(),
            kept_days: 7,
            waiting_bytes_max: 1 << 30,
        })
    }

    /// What the last run left of a recording: its row, and sound under its name.
    async fn left(&self, id: &str, state: State, sound: Option<&str>) {
        if let Some(name) = sound {
            let bytes = wav::encode(&[7; 1_600], 16_000);
            std::fs::write(self.folder.join(name), bytes).unwrap();
        }
        let kept = Kept {
            id: id.to_string(),
            file: format!("{id}.wav"),
            format: String::from("wav"),
            origin: Origin::Device,
            mode: Mode::Chat,
            state,
            bytes: 0,
            duration_ms: None,
            hash: None,
            client_id: None,
            conversation_id: None,
            language: None,
            speak: false,
            recorded_at: CLOCK_SET,
        };
        let now = Clock::system().wall();
        self.write(move |connection| db::recordings::keep(connection, &kept, now))
            .await;
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&crate::store::Connection) -> Result<T, VoiceError> + Send + 'static,
    ) -> T {
        self.store.write(job).await.unwrap()
    }

    fn row(&self, id: &str) -> Option<Row> {
        let read = self.store.read(|connection| -> Result<_, VoiceError> {
            let Some(row) = db::recordings::get(connection, id)? else {
                return Ok(None);
            };
            let jobs = db::jobs::states_of(connection, id)?;
            let state = row.state.name().to_string();
            Ok(Some((state, row.file.is_some(), row.text, jobs)))
        });
        read.unwrap()
    }

    async fn until(&self, id: &str, wanted: &Option<Row>) {
        for _ in 0..3_000 {
            if self.row(id) == *wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.row(id), *wanted, "{id}");
    }

    fn has(&self, file: &str) -> bool {
        self.folder.join(file).exists()
    }
}

fn row(state: &str, has_file: bool, text: Option<&str>, jobs: &[(&str, &str)]) -> Option<Row> {
    let jobs = jobs.iter();
    let jobs = jobs.map(|(kind, state)| (kind.to_string(), state.to_string()));
    Some((
        state.to_string(),
        has_file,
        text.map(str::to_string),
        jobs.collect(),
    ))
}

fn on_loop(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work);
}

fn chat() -> NewRecording {
    NewRecording::live(Origin::Device, Mode::Chat)
}

#[test]
fn what_the_last_run_left_is_taken_up_once() {
    on_loop(async {
        let house = House::new();
        let id = |number: u8| format!("rec_000000000000000{number}");
        let wav = |number: u8| format!("{}.wav", id(number));
        house.left(&id(1), State::Waiting, Some(&wav(1))).await;
        house.left(&id(2), State::Waiting, Some(&wav(2))).await;
        house.left(&id(3), State::Waiting, None).await;
        house.left(&id(4), State::Done, Some(&wav(4))).await;
        // Live sound that had no row yet, and an upload that nobody was told of.
        let (live, upload) = (wav(5), format!("{}.in.wav", id(6)));
        for name in [&live, &upload] {
            let bytes = wav::encode(&[7; 1_600], 16_000);
            std::fs::write(house.folder.join(name), bytes).unwrap();
        }
        // The second was given up.
        let given_up = id(2);
        house
            .write(move |connection| {
                let now = CLOCK_SET;
                db::jobs::insert(connection, &stt_job(&given_up), now)?;
                let job = db::jobs::next(connection, JobKind::Stt, 0, now)?.unwrap();
                db::jobs::begin(connection, &job.id, now)?;
                let settled = Settled {
                    fate: Fate::Failed(String::from("given up after 30 days")),
                    aside: None,
                    pause: Duration::ZERO,
                };
                db::jobs::settle(connection, &job, &settled, now)
            })
            .await;
        let failed = row("failed", true, None, &[("stt", "failed")]);
        assert_eq!(house.row(&id(2)), failed, "the state is the truth at once");

        let _recordings = house.start();
        let queued = row("waiting", true, None, &[("stt", "queued")]);
        let lost = row("waiting", false, None, &[("stt", "queued")]);
        house.until(&id(3), &lost).await;
        house.until(&id(1), &queued).await;
        house.until(&id(5), &queued).await;
        assert_eq!(house.row(&id(2)), failed, "not revived");
        assert_eq!(house.row(&id(4)), row("done", true, None, &[]));
        assert_eq!(house.row(&id(6)), None);
        for _ in 0..3_000 {
            if !house.has(&upload) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!house.has(&upload));
    });
}

#[test]
fn a_recording_of_this_run_is_none_that_the_last_one_left() {
    on_loop(async {
        let house = House::new();
        let recordings = house.start();
        let recording = recordings.begin_with(chat(), &[7; 1_600]).unwrap();
        let kept = recording.finish().await.unwrap();
        let id = kept.id.clone();
        recordings.store(kept, None).await.unwrap();
        // Whoever is let go is taken care of once the last run's are.
        let other = recordings.begin_with(chat(), &[7; 1_600]).unwrap();
        let held = other.end(Next::Understand).unwrap();
        let last = held.id();
        drop(held);
        let queued = row("waiting", true, None, &[("stt", "queued")]);
        house.until(&last, &queued).await;
        assert_eq!(house.row(&id), row("waiting", true, None, &[]));
    });
}

#[test]
fn a_recording_that_is_let_go_while_it_is_synced_is_understood_later() {
    on_loop(async {
        let house = House::new();
        let recordings = house.start();
        let recording = recordings.begin_with(chat(), &[7; 1_600]).unwrap();
        let id = recording.id().to_string();
        let mut finishing = Box::pin(recording.finish());
        let begun = std::future::poll_fn(|context| {
            std::task::Poll::Ready(finishing.as_mut().poll(context).is_pending())
        });
        assert!(begun.await, "the card is slower than a look");
        drop(finishing);
        let queued = row("waiting", true, None, &[("stt", "queued")]);
        house.until(&id, &queued).await;
    });
}

#[test]
fn whoever_lets_go_of_a_recording_leaves_what_is_still_to_be_done() {
    on_loop(async {
        let house = House::new();
        let recordings = house.start();
        let text = || String::from("why is the sky blue");
        let asked = Some("why is the sky blue");
        for (next, wanted) in [
            (
                Next::Understand,
                row("waiting", true, None, &[("stt", "queued")]),
            ),
            (
                Next::Answer(text()),
                row("done", true, asked, &[("reply", "queued")]),
            ),
            (Next::Rest(text()), row("done", true, asked, &[])),
            (Next::Remove, None),
        ] {
            let recording = recordings.begin_with(chat(), &[7; 1_600]).unwrap();
            let held = recording.end(Next::Understand).unwrap();
            let id = held.id();
            let kept = held.whole().await.unwrap();
            recordings.store(kept.clone(), None).await.unwrap();
            held.next(next);
            drop(held);
            house.until(&id, &wanted).await;
        }
    });
}

#[test]
fn what_is_let_go_while_the_queue_is_full_is_stored_once_it_has_room() {
    on_loop(async {
        let house = House::new();
        let recordings = house.start();
        let let_go = async || {
            let recording = recordings.begin_with(chat(), &[7; 1_600]).unwrap();
            let held = recording.end(Next::Understand).unwrap();
            held.whole().await.unwrap();
            held.id()
        };
        let queued = row("waiting", true, None, &[("stt", "queued")]);
        house.until(&let_go().await, &queued).await;

        let fill = |by: i64| {
            house.write(move |connection| {
                connection.execute(
                    "UPDATE queue_totals SET value = value + ?1 WHERE name = 'queued'",
                    [by],
                )?;
                Ok(())
            })
        };
        let many = crate::limits::JOBS_MAX as i64;
        fill(many).await;
        let id = let_go().await;
        // The first of these may be written before it, the second is not.
        house.write(|_| Ok(())).await;
        house.write(|_| Ok(())).await;
        assert_eq!(house.row(&id), None);
        fill(-many).await;
        house.until(&id, &queued).await;
    });
}

#[test]
fn what_waits_for_nobody_from_one_look_to_the_next_is_queued() {
    on_loop(async {
        let house = House::new();
        let recordings = house.start();
        let stored = async |job: bool| {
            let recording = recordings.begin_with(chat(), &[7; 1_600]).unwrap();
            let kept = recording.finish().await.unwrap();
            let id = kept.id.clone();
            let job = job.then(|| stt_job(&id));
            recordings.store(kept, job).await.unwrap();
            id
        };
        let queued = row("waiting", true, None, &[("stt", "queued")]);
        let mut keeper = keeper::Keeper::new(recordings.clone());
        let (alone, cared_for) = (stored(false).await, stored(true).await);
        keeper.attend().await.unwrap();
        assert_eq!(house.row(&alone), row("waiting", true, None, &[]));
        let fresh = stored(false).await;
        keeper.attend().await.unwrap();
        assert_eq!(house.row(&alone), queued);
        assert_eq!(house.row(&cared_for), queued);
        assert_eq!(house.row(&fresh), row("waiting", true, None, &[]));
    });
}

#[test]
fn a_memo_has_a_row_while_it_is_recorded_and_none_when_it_was_a_false_start() {
    on_loop(async {
        let house = House::new();
        let recordings = house.start();
        let memo = || NewRecording {
            language: Some(String::from("zh")),
            ..NewRecording::live(Origin::Device, Mode::Note)
        };
        let false_start = recordings.begin_with(memo(), &[7; 1_600]).unwrap();
        let id = false_start.id().to_string();
        house.until(&id, &row("recording", true, None, &[])).await;
        false_start.discard();
        house.until(&id, &None).await;

        // The power goes while two are recorded, of one of which nothing has come to the card.
        let long = recordings.begin_with(memo(), &[7; 1_600]).unwrap();
        let empty = recordings.begin(memo()).unwrap();
        let ids = [&long, &empty].map(|recording| recording.id().to_string());
        for id in &ids {
            house.until(id, &row("recording", true, None, &[])).await;
        }
        let length = |id: &String| std::fs::metadata(house.folder.join(format!("{id}.wav")));
        while !length(&ids[0]).is_ok_and(|about| about.len() > 44) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::mem::forget((long, empty));
        drop(recordings);
        let _recordings = house.start();
        house
            .until(&ids[0], &row("waiting", true, None, &[("stt", "queued")]))
            .await;
        house.until(&ids[1], &None).await;
        let known = house
            .store
            .read(|connection| db::recordings::get(connection, &ids[0]));
        assert_eq!(known.unwrap().unwrap().language.as_deref(), Some("zh"));
    });
}

/// Nothing ever comes of it.
struct Vain;

impl Worker for Vain {
    fn run<'a>(&'a self, _: &'a Job) -> Work<'a> {
        Box::pin(std::future::ready(Outcome::Later {
            why: String::from("no route"),
            after: None,
        }))
    }
}

#[test]
fn days_of_waiting_that_are_set_anew_count_from_the_next_try_on() {
    on_loop(async {
        let house = House::new();
        let recordings = house.start();
        recordings.queue().work(JobKind::Stt, Rc::new(Vain));
        let recording = recordings.begin_with(chat(), &[7; 1_600]).unwrap();
        let kept = recording.finish().await.unwrap();
        let id = kept.id.clone();
        let job = recordings.store(kept, Some(stt_job(&id))).await.unwrap();
        let is_tried = || {
            let jobs = house
                .store
                .read(|connection| db::jobs::view(connection, job.as_deref().unwrap()));
            let view: Result<_, VoiceError> = jobs;
            serde_json::json!(view.unwrap())["last_error"] == "no route"
        };
        while !is_tried() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let queued = row("waiting", true, None, &[("stt", "queued")]);
        house.until(&id, &queued).await;
        recordings.queue().reconfigure(Pace::of_days(0));
        recordings.queue().network_returned();
        let given_up = row("failed", true, None, &[("stt", "failed")]);
        house.until(&id, &given_up).await;

        // Asked for by hand it waits again.
        recordings.queue().reconfigure(Pace::of_days(30));
        recordings.queue().retry(&job.unwrap()).await.unwrap();
        house.until(&id, &queued).await;
    });
}

#[test]
fn an_upload_that_is_let_go_before_its_end_leaves_nothing() {
    on_loop(async {
        let house = House::new();
        let recordings = house.start();
        let new = NewRecording {
            format: "ogg",
            ..NewRecording::live(Origin::Upload, Mode::Chat)
        };
        let mut recording = recordings.begin(new).unwrap();
        recording
            .push_bytes(b"OggS and half of it".to_vec())
            .unwrap();
        drop(recording);
        // The recorder takes one order after the other.
        let other = recordings.begin_with(chat(), &[7; 1_600]).unwrap();
        let kept = other.finish().await.unwrap();
        let left = std::fs::read_dir(&house.folder).unwrap();
        let left: Vec<_> = left.flatten().map(|file| file.file_name()).collect();
        assert_eq!(left, [kept.file.as_str()]);
    });
}
