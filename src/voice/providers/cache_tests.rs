//! What is kept, what is thrown away, and that a broken file is never heard.

use std::cell::Cell;

use super::*;

/// Counts what it is asked to say.
struct Counting(Cell<usize>);

impl Tts for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn synthesize<'a>(&'a self, text: &'a str, _: Option<&'a str>) -> Call<'a, SpeechStream> {
        self.0.set(self.0.get() + 1);
        Box::pin(async move { Ok(SpeechStream::whole(speech(text.len()))) })
    }
}

fn speech(samples: usize) -> Speech {
    Speech {
        samples: (0..samples as i16).collect(),
        rate_hz: 22_050,
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work)
}

fn said(voice: &Cached, text: &str) -> Speech {
    block_on(async {
        let stream = voice.synthesize(text, None).await.expect("speaks");
        stream
            .collect(Duration::from_secs(60))
            .await
            .expect("speaks")
    })
}

#[test]
fn a_sentence_that_comes_again_is_made_twice_and_then_never_more_even_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let voice = Rc::new(Counting(Cell::new(0)));
    let cached = |cache| Cached {
        voice: voice.clone(),
        cache,
        prepares: true,
    };
    let first = cached(SpeechCache::open(folder.path().join("speech"), 1 << 20));
    for made in [1, 2, 2, 2] {
        assert_eq!(said(&first, "Good morning."), speech(13));
        assert_eq!(voice.0.get(), made);
    }
    let second = cached(SpeechCache::open(folder.path().join("speech"), 1 << 20));
    assert_eq!(said(&second, "Good morning."), speech(13));
    assert_eq!(voice.0.get(), 2, "the folder was read again");
    assert_eq!(said(&second, "Good evening.").samples.len(), 13);
    assert_eq!(voice.0.get(), 3);
    block_on(second.prepare("Good night.")).expect("made");
    block_on(second.prepare("Good night.")).expect("there");
    assert_eq!(said(&second, "Good night."), speech(11));
    assert_eq!(voice.0.get(), 4, "what was prepared is there at once");
}

#[test]
fn the_longest_unused_makes_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = encode(&speech(100)).len() as u64;
    let mut shelf = Shelf::open(folder.path().to_path_buf(), one * 2);
    for number in 1..=2 {
        shelf.put([number; 32], &speech(100)).expect("kept");
    }
    assert!(matches!(shelf.get([1; 32]), Found::Speech(_)));
    shelf.put([3; 32], &speech(100)).expect("kept");
    assert!(matches!(shelf.get([2; 32]), Found::Nothing { .. }));
    assert!(matches!(shelf.get([1; 32]), Found::Speech(_)));
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 2);
    let smaller = Shelf::open(folder.path().to_path_buf(), one);
    assert_eq!(smaller.bytes, one, "a smaller bound holds at once");
}

#[test]
fn a_file_cut_or_flipped_anywhere_is_thrown_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = encode(&speech(40));
    let mut broken: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    broken.extend((0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        bytes
    }));
    for bytes in broken {
        let mut shelf = Shelf::open(folder.path().to_path_buf(), 1 << 20);
        shelf.put([7; 32], &speech(40)).expect("kept");
        fs::write(shelf.path(&[7; 32]), &bytes).expect("broken");
        assert!(matches!(shelf.get([7; 32]), Found::Nothing { .. }));
        assert!(!shelf.path(&[7; 32]).exists() && shelf.bytes == 0);
    }
    fs::write(folder.path().join("half.partial"), b"x").expect("a file");
    Shelf::open(folder.path().to_path_buf(), 1 << 20);
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
}
