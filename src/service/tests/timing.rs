//! An unknown ID takes as long as a known one. Coarse: it finds a missing hash or a missing round trip, not the
//! nanoseconds of a comparison.

use super::*;

const CALLS: usize = 40;

#[tokio::test]
async fn unknown_ids_take_as_long_as_known_ones() {
    // A hash that costs enough to be seen, were it left out; no lockout in the way.
    let house = House::with(|config| {
        config.hashing.memory_kib = 1024;
        config.lockout.users.tries = 100;
        config.lockout.callers.tries = 10_000;
    })
    .await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for call in 0..CALLS {
        // Alternating, so that a busy machine slows both alike.
        known.push(time_of_call(&house, "1001", call).await);
        unknown.push(time_of_call(&house, "7777", call).await);
        house
            .services
            .release_user(&cli(), &"ada".parse().unwrap())
            .await
            .unwrap();
        house.clock.advance(Duration::from_secs(91 * 24 * 60 * 60));
    }
    let (known, unknown) = (median(known), median(unknown));
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.8..1.25).contains(&ratio), "known {known:?}, unknown {unknown:?}");
}

async fn time_of_call(house: &House, id: &str, call: usize) -> Duration {
    let visit = house.arrive(Some(&call.to_string())).await;
    let begun = crate::time::monotonic();
    visit.identify(&digits(id)).await.unwrap();
    assert!(matches!(round(&visit, wrong).await, Answered::Retry));
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
