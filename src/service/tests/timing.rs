//! An unknown ID takes as long as a known one. Coarse: it finds a missing hash or a missing round trip, not the
//! nanoseconds of a comparison.

use super::*;

const CALLS: usize = 30;

/// A machine that is busy with something else may spoil a run; what leaks spoils all of them.
const RUNS: usize = 3;

#[tokio::test]
async fn unknown_ids_take_as_long_as_known_ones() {
    // A hash that costs enough to be seen, were it left out; no lockout in the way.
    let house = House::with(|config| {
        config.hashing.memory_kib = 4096;
        config.lockout.users.tries = 100;
        config.lockout.callers.tries = 10_000;
    })
    .await;
    let mut ratios = Vec::new();
    for run in 0..RUNS {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for call in 0..CALLS {
            // Alternating, so that a busy machine slows both alike.
            let caller = format!("{run}{call:02}");
            known.push(time_of_call(&house, "1001", &caller).await);
            unknown.push(time_of_call(&house, "7777", &caller).await);
            house
                .services
                .release_user(&cli(), &"ada".parse().unwrap())
                .await
                .unwrap();
            house.clock.advance(Duration::from_secs(91 * 24 * 60 * 60));
        }
        let ratio = median(known).as_secs_f64() / median(unknown).as_secs_f64();
        if (0.9..1.11).contains(&ratio) {
            return;
        }
        ratios.push(ratio);
    }
    panic!("known IDs take {ratios:?} times as long as unknown ones");
}

async fn time_of_call(house: &House, id: &str, caller: &str) -> Duration {
    let visit = house.arrive(Some(caller)).await;
    let begun = crate::time::monotonic();
    visit.identify(&digits(id)).await.unwrap();
    assert!(matches!(round(&visit, wrong).await, Answered::Retry));
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
