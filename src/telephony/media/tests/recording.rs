//! What is in a recording, and what is not.

use std::path::Path;

use super::harness::{Bench, MS, playlist, tone};
use crate::telephony::codec::Codec;
use crate::telephony::media::{Command, OnKey, PlaybackId, Playlist, Privacy, Recorder, Seat};

/// Caller and system of a WAV file.
fn channels(path: &Path) -> (Vec<i16>, Vec<i16>) {
    let reader = hound::WavReader::open(path).expect("a recording");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 8_000));
    let samples: Vec<i16> = reader.into_samples().collect::<Result<_, _>>().expect("samples");
    samples.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip()
}

fn loud(samples: &[i16]) -> usize {
    samples.iter().filter(|sample| sample.unsigned_abs() > 3_000).count()
}

/// A call of which the caller says something all the time.
fn record(script: impl FnOnce(&mut dyn FnMut(u32), &mut dyn FnMut(Command))) -> (Vec<i16>, Vec<i16>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.wav");
    let bench = std::cell::RefCell::new(Bench::new());
    let now = bench.borrow().now;
    let (recorder, tap) = Recorder::start(&path, Seat::System, now).expect("started");
    bench.borrow_mut().command(Command::Record(Some(tap)));
    let mut talk = |ticks: u32| {
        for _ in 0..ticks {
            let mut bench = bench.borrow_mut();
            bench.receive(0, &[Codec::Pcmu.encode_sample(5_000); 160]);
            bench.tick();
            // The ring is emptied in real time, the call runs in invented time.
            if bench.session.stats().sent.is_multiple_of(50) {
                std::thread::sleep(120 * MS);
            }
        }
    };
    let mut command = |command| bench.borrow_mut().command(command);
    script(&mut talk, &mut command);
    command(Command::Record(None));
    let recording = recorder.finish().expect("written");
    assert_eq!(bench.borrow().session.stats().record_dropped, 0);
    let (caller, system) = channels(&recording.path);
    assert_eq!(recording.duration.as_millis() as usize * 8, caller.len());
    assert!(!folder.path().join("call.wav.tmp").exists());
    (caller, system)
}

#[test]
fn the_caller_is_left_and_we_are_right() {
    let (caller, system) = record(|talk, command| {
        talk(10);
        command(Command::Play(PlaybackId(1), playlist(vec![tone(100 * MS)])));
        talk(10);
    });
    assert!(caller.len().abs_diff(20 * 160) <= 160);
    assert!(loud(&caller) >= 19 * 160);
    assert_eq!(loud(&system), 800);
    assert_eq!(loud(&system[..1_600]), 0, "nothing before the prompt");
}

#[test]
fn a_secret_is_a_soft_tone_and_its_echo_is_left_out() {
    let (caller, system) = record(|talk, command| {
        talk(10);
        let secret = Playlist {
            segments: vec![tone(400 * MS)],
            privacy: Privacy::Secret,
            on_key: OnKey::KeepPlaying,
        };
        command(Command::Play(PlaybackId(1), secret));
        talk(100);
    });
    assert_eq!(loud(&system), 0, "not one sample of it");
    let tone = &system[1_600..1_600 + 3_200];
    assert!(
        tone.iter().filter(|sample| sample.unsigned_abs() > 100).count() > 2_500,
        "but it is heard that there was one"
    );
    assert_eq!(loud(&caller[1_800..1_600 + 3_200 + 7_000]), 0);
    assert!(
        loud(&caller[1_600 + 3_200 + 9_000..]) > 0,
        "the caller comes back a second later"
    );
}

#[test]
fn keys_are_a_click_that_is_the_same_for_all_of_them() {
    let around = |code: u8| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("call.wav");
        let mut bench = Bench::new();
        let (recorder, tap) = Recorder::start(&path, Seat::System, bench.now).expect("started");
        bench.command(Command::Record(Some(tap)));
        // The tone of the key leaks into the audio before the event begins and while it lasts.
        for n in 0..40 {
            let leak = if (18..25).contains(&n) {
                5_000 + 500 * i16::from(code)
            } else {
                2_000
            };
            bench.receive(0, &[Codec::Pcmu.encode_sample(leak); 160]);
            if (20..24).contains(&n) {
                bench.receive_key(code);
            }
            bench.tick();
        }
        bench.command(Command::Record(None));
        channels(&recorder.finish().expect("written").path).0
    };
    let (one, nine) = (around(1), around(9));
    assert_eq!(one, nine);
    assert!(one.iter().any(|sample| sample.unsigned_abs() > 6_000), "the click");
}

#[test]
fn the_test_phone_has_its_own_keys_on_the_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.wav");
    let mut bench = Bench::new();
    let (recorder, tap) = Recorder::start(&path, Seat::Caller, bench.now).expect("started");
    bench.command(Command::Record(Some(tap)));
    bench.command(Command::Press {
        digit: crate::digit::Digit::D1,
        on: 60 * MS,
        off: 60 * MS,
    });
    for _ in 0..20 {
        bench.receive(0, &[Codec::Pcmu.encode_sample(5_000); 160]);
        bench.tick();
    }
    bench.command(Command::Record(None));
    let (caller, system) = channels(&recorder.finish().expect("written").path);
    assert!(loud(&caller) > 10 && loud(&caller) < 30, "one click");
    assert!(loud(&system) >= 19 * 160);
}

#[test]
fn a_folder_that_does_not_exist_is_told() {
    let error = Recorder::start(
        Path::new("/nonexistent/call.wav"),
        Seat::System,
        crate::time::monotonic(),
    );
    assert!(
        error
            .expect_err("refused")
            .to_string()
            .contains("/nonexistent/call.wav")
    );
}
