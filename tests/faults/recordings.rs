//! Power cuts over recordings: what was acknowledged is there with its row, its job and all of its
//! sound; of one that was still being recorded, all that had been synced.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use magpie::audio::wav;
use magpie::bus::Bus;
use magpie::clock::Clock;
use magpie::ops::Registry;
use magpie::store::Durability;
use magpie::voice::db;
use magpie::voice::error::VoiceError;
use magpie::voice::queue::{Pace, Queue, QueueParts};
use magpie::voice::recordings::repair::repair_folder;
use magpie::voice::recordings::{Mode, NewRecording, Origin, Recordings, RecordingsParts, stt_job};
use tempfile::TempDir;

use super::driver::{self, ACKS, on_loop};
use super::preload::recorder_library;
use super::replay::{self, Change, Fate, Random};
use super::rig::{Rig, seed, this_binary};

const FOLDER: &str = "MAGPIE_FAULT_RECORDINGS";
const NOTES: u64 = 24;
/// Longer than a sync takes to come due, so that the open recording is synced under way.
const BETWEEN: Duration = Duration::from_millis(270);

/// Sound that tells which recording and which sample it is.
fn sample(number: u64, at: usize) -> i16 {
    ((number as usize * 7_919 + at * 31) % 20_011) as i16
}

fn piece(number: u64, from: usize, count: usize) -> Vec<i16> {
    (from..from + count).map(|at| sample(number, at)).collect()
}

/// Not a test: the process that the power is taken from.
#[test]
#[ignore = "started by the test below as a process of its own"]
fn recordings_process() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    on_loop(drive(folder.into()));
}

async fn drive(folder: std::path::PathBuf) {
    let store = driver::open(&folder, Durability::Full).unwrap();
    let queue = Queue::start(QueueParts {
        store: store.clone(),
        bus: Bus::default(),
        clock: Clock::system(),
        metrics: Registry::default(),
        pace: Pace::of_days(30),
    });
    let recordings = Recordings::start(RecordingsParts {
        store: store.clone(),
        clock: Clock::system(),
        queue,
        data_dir: folder.clone(),
        kept_days: 7,
        waiting_bytes_max: 1 << 30,
    });
    let mut acks = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(ACKS))
        .unwrap();
    let note = || NewRecording::live(Origin::Socket, Mode::Note);
    let mut long = recordings.begin(note()).unwrap();
    // In one write, as all of them: half a line is no acknowledgement.
    acks.write_all(format!("open {}\n", long.id()).as_bytes())
        .unwrap();
    let mut long_at = 0;
    for number in 1..=NOTES {
        let mut recording = recordings.begin(note()).unwrap();
        for part in 0..5 {
            recording.push(&piece(number, part * 800, 800)).unwrap();
            long.push(&piece(0, long_at, 800)).unwrap();
            long_at += 800;
            tokio::time::sleep(BETWEEN / 5).await;
        }
        let kept = recording.finish().await.unwrap();
        let id = kept.id.clone();
        let job = stt_job(&id);
        recordings.store(kept, Some(job)).await.unwrap();
        acks.write_all(format!("kept {id} {number}\n").as_bytes())
            .unwrap();
    }
    drop(long);
    store.close().await.unwrap();
}

#[test]
fn an_acknowledged_recording_survives_a_power_cut_at_any_moment_with_its_job() {
    let rig = Rig::new();
    let status = this_binary("recordings::recordings_process")
        .env(FOLDER, rig.folder())
        .env("LD_PRELOAD", recorder_library())
        .env("RECORDER_DIR", rig.folder())
        .env("RECORDER_LOG", rig.log())
        .status()
        .unwrap();
    assert!(status.success());
    let changes = replay::read_log(&rig.log());
    let sound = check_cuts(&rig, &changes, 150);
    assert!(
        sound.faults > 0 && sound.checked > 100 && sound.synced > 0,
        "{sound:?}"
    );
    assert_eq!(sound.losses, Vec::<String>::new(), "seed {}", seed());

    // The same without the syncs of sound: the test must notice.
    let blind = check_cuts(&rig, &without_syncs_of_sound(&changes), 40);
    println!("without syncs: states_with_loss={}", blind.losses.len());
    assert!(!blind.losses.is_empty(), "the test is blind");
}

#[derive(Debug, Default)]
struct Checked {
    faults: usize,
    checked: usize,
    /// Samples of the open recording that had to be there.
    synced: usize,
    losses: Vec<String>,
}

fn check_cuts(rig: &Rig, changes: &[Change], cuts: usize) -> Checked {
    let mut random = Random::new(seed());
    let mut all = Checked::default();
    for round in 0..cuts {
        let at = random.below(changes.len() as u64) as usize;
        let fate = [Fate::Mixed, Fate::Dropped, Fate::Mixed, Fate::Kept][round % 4];
        let card = replay::cut(&changes[..at], fate, &mut random);
        all.faults += card.faults;
        let folder = TempDir::new().unwrap();
        card.write_to(&rig.folder(), folder.path());
        let synced = synced_sound(&changes[..at], &card.acks);
        all.synced += synced;
        if let Err(why) = examine(folder.path(), &card.acks, synced, &mut all.checked) {
            all.losses
                .push(format!("cut {round} at {at} ({fate:?}): {why}"));
        }
    }
    println!(
        "power cut over recordings: seed={} cuts={cuts} faults_injected={} acknowledgements_checked={} \
         states_with_loss={}",
        seed(),
        all.faults,
        all.checked,
        all.losses.len()
    );
    all
}

/// Samples of the open recording that a sync had covered.
fn synced_sound(changes: &[Change], acks: &str) -> usize {
    let Some(open) = acks.lines().find_map(|line| line.strip_prefix("open ")) else {
        return 0;
    };
    let (mut number, mut written, mut covered, mut synced) = (None, 0, 0, 0);
    for change in changes {
        match change {
            Change::Open { file, path } if path.to_string_lossy().contains(open) => {
                number = Some(*file);
            }
            Change::Write { file, at, data } if Some(*file) == number => {
                written = written.max(*at as usize + data.len());
            }
            Change::SyncBegan { file } if Some(*file) == number => covered = written,
            Change::Synced { file } if Some(*file) == number => synced = covered,
            _ => {}
        }
    }
    synced.saturating_sub(wav::HEADER_BYTES) / 2
}

fn without_syncs_of_sound(changes: &[Change]) -> Vec<Change> {
    let is_sound = |change: &Change, files: &[i32]| match change {
        Change::Synced { file } => files.contains(file),
        _ => false,
    };
    let mut files = Vec::new();
    let mut kept = Vec::new();
    for change in changes {
        if let Change::Open { file, path } = change
            && path.extension().is_some_and(|kind| kind == "wav")
        {
            files.push(*file);
        }
        if !is_sound(change, &files) {
            kept.push(change.clone());
        }
    }
    kept
}

/// As a start after the cut: repair, then everything that was promised.
fn examine(folder: &Path, acks: &str, synced: usize, checked: &mut usize) -> Result<(), String> {
    let sounds = folder.join("recordings");
    repair_folder(&sounds);
    if let Some(open) = acks.lines().find_map(|line| line.strip_prefix("open "))
        && synced > 0
    {
        let samples = read(&sounds.join(format!("{open}.wav")))?;
        if samples.get(..synced) != Some(&piece(0, 0, synced)[..]) {
            return Err(format!("the open recording lost some of {synced} samples"));
        }
    }
    on_loop(async {
        let store = driver::open(folder, Durability::Full).map_err(|error| error.to_string())?;
        for line in acks.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let ["kept", id, number] = words[..] else {
                continue;
            };
            *checked += 1;
            let number: u64 = number.parse().unwrap();
            let read_row = || -> Result<_, VoiceError> {
                store.read(|connection| {
                    let row = db::recordings::get(connection, id)?;
                    Ok((row, db::jobs::of_recording(connection, id)?))
                })
            };
            let (row, job) = read_row().map_err(|error| error.to_string())?;
            let row = row.ok_or_else(|| format!("{id} has no row"))?;
            job.ok_or_else(|| format!("{id} has no job"))?;
            let file = row.file.ok_or_else(|| format!("{id} has no file"))?;
            if read(&sounds.join(file))? != piece(number, 0, 4_000) {
                return Err(format!("{id} has other sound"));
            }
        }
        store.close().await.map_err(|error| error.to_string())
    })
}

fn read(path: &Path) -> Result<Vec<i16>, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let sound = wav::decode(&bytes, Duration::from_secs(600));
    Ok(sound.map_err(|error| error.to_string())?.samples)
}
