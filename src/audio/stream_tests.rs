//! The callbacks' ends driven by hand, without a card.

use super::*;

fn shared() -> Arc<StreamShared> {
    let wake = Arc::new(Wake::new().expect("an eventfd"));
    StreamShared::new(wake, Counter::default()).expect("an eventfd")
}

fn speaker() -> (OutputSource, OutputEnd, Arc<AtomicU32>) {
    let gain = Arc::new(AtomicU32::new(1.0f32.to_bits()));
    let (source, end) = output(&shared(), 48_000, gain.clone());
    (source, end, gain)
}

fn write(lane: &mut Lane, samples: &[i16]) {
    lane.ring
        .push_entire_slice(samples)
        .expect("room in the lane");
    lane.pushed += samples.len() as u64;
}

fn period(source: &mut OutputSource) -> Vec<i16> {
    let mut card = vec![i16::MIN; 960];
    source.fill(&mut card, 1);
    card
}

#[test]
fn every_channel_of_the_card_gets_what_was_written() {
    let (mut source, mut end, _) = speaker();
    write(&mut end.lanes[0], &[10, 20, 30]);
    let mut card = [0i32; 8];
    source.fill(&mut card, 2);
    assert_eq!(card.map(|s| s >> 16), [10, 10, 20, 20, 30, 30, 0, 0]);
    assert_eq!(end.lanes[0].cells.played(), 3);
}

#[test]
fn sounds_that_play_together_are_added_and_clipped() {
    let (mut source, mut end, _) = speaker();
    write(&mut end.lanes[0], &[1_000, 30_000, -30_000]);
    write(&mut end.lanes[1], &[500, 30_000, -30_000]);
    assert_eq!(period(&mut source)[..4], [1_500, i16::MAX, i16::MIN, 0]);
}

#[test]
fn a_stop_fades_within_five_milliseconds_and_the_next_sound_is_whole() {
    let (mut source, mut end, _) = speaker();
    let lane = &mut end.lanes[0];
    write(lane, &[10_000; 5_000]);
    period(&mut source);
    lane.cells.discard_to(lane.pushed);
    write(lane, &[77; 100]);
    let card = period(&mut source);
    assert!(
        card[..MIX_SAMPLES].windows(2).all(|two| two[1] <= two[0]),
        "only falls"
    );
    assert!(card[MIX_SAMPLES - 1] < 100);
    assert_eq!(card[MIX_SAMPLES..MIX_SAMPLES + 100], [77; 100]);
    assert_eq!(card[MIX_SAMPLES + 100], 0);
    assert_eq!(lane.cells.taken(), lane.pushed);
    assert_eq!(
        lane.cells.played(),
        960 + 100,
        "what was thrown away was not played"
    );
}

#[test]
fn a_sound_is_heard_two_periods_after_its_last_sample_left() {
    let (mut source, mut end, _) = speaker();
    write(&mut end.lanes[0], &[1; 1_000]);
    let heard: Vec<bool> = (0..5)
        .map(|_| {
            period(&mut source);
            end.lanes[0].cells.heard(1_000, &end.shared)
        })
        .collect();
    assert_eq!(heard, [false, false, false, true, true]);
}

#[test]
fn a_new_volume_comes_gradually() {
    let (mut source, mut end, gain) = speaker();
    write(&mut end.lanes[0], &[10_000; 2_000]);
    period(&mut source);
    gain.store(0.5f32.to_bits(), Ordering::Relaxed);
    let card = period(&mut source);
    let jump = card.windows(2).map(|two| (two[1] - two[0]).abs()).max();
    assert!(jump < Some(40), "{jump:?}");
    assert_eq!(card[959], 5_000);
}

#[test]
fn what_a_full_ring_cannot_take_is_counted_and_the_oldest_sound_is_kept() {
    let xruns = Counter::default();
    let wake = Arc::new(Wake::new().expect("an eventfd"));
    let shared = StreamShared::new(wake, xruns.clone()).expect("an eventfd");
    let (mut sink, mut end) = input(&shared, 16_000);
    let seconds: u64 = 5;
    for at in 0..seconds * 50 {
        sink.push(&[at as i16; 320], 1);
    }
    assert_eq!(xruns.get(), 50, "one second of 20 ms periods too many");
    assert_eq!(end.ring.slots(), 64_000);
    assert_eq!(end.ring.pop(), Ok(0));
}

#[test]
fn channels_and_formats_of_a_microphone_become_one_of_16_bits() {
    let (mut sink, mut end) = input(&shared(), 16_000);
    sink.push(&[0.5f32, 0.25, -1.5, -1.0], 2);
    sink.push(&[1i32 << 30, 0], 1);
    let got: Vec<i16> = std::iter::from_fn(|| end.ring.pop().ok()).collect();
    assert_eq!(got, [12_288, -32_768, 16_384, 0]);
}

#[test]
fn a_speaker_in_use_is_not_closed_and_a_closed_one_is_not_entered() {
    let (_source, end, _) = speaker();
    assert!(end.users.enter());
    assert!(!end.users.close_if_empty());
    end.users.leave();
    assert!(end.users.close_if_empty());
    assert!(!end.users.enter());
    assert!(!end.users.any());
}

#[test]
fn errors_without_a_sample_between_them_break_a_stream_and_others_do_not() {
    let shared = shared();
    let (mut sink, _end) = input(&shared, 16_000);
    for _ in 0..100 {
        shared.xrun();
        sink.push(&[0i16; 320], 1);
    }
    assert_eq!(shared.loss(), None);
    for _ in 0..10 {
        shared.error();
    }
    assert_eq!(shared.loss(), Some(Loss::Broken));
}
