//! RTCP between two sessions.

use super::harness::{MS, Pair, Weather};

const FINE: Weather = Weather {
    loss: 0.0,
    duplication: 0.0,
    delay: MS,
    jitter: MS,
};

#[test]
fn loss_and_jitter_are_known_on_both_sides() {
    let weather = Weather {
        loss: 0.1,
        delay: 30 * MS,
        jitter: 15 * MS,
        ..FINE
    };
    let mut pair = Pair::new(weather, 5);
    pair.run_for(120_000 * MS);
    for end in &pair.ends {
        let stats = end.session.stats();
        let share = stats.received.lost as f64 / (stats.received.lost + stats.received.received) as f64;
        assert!((0.07..0.13).contains(&share), "{stats:?}");
        assert!((10..=40).contains(&stats.rtcp_sent), "{stats:?}");
        assert!(stats.remote_lost > 300, "{stats:?}");
        assert!(
            stats.received.jitter > 2 * MS && stats.received.jitter < 10 * MS,
            "{stats:?}"
        );
        let round_trip = stats.round_trip.expect("known");
        assert!(round_trip >= 60 * MS && round_trip <= 90 * MS, "{round_trip:?}");
    }
}

#[test]
fn a_fine_network_shows_no_loss() {
    let mut pair = Pair::new(FINE, 6);
    pair.run_for(60_000 * MS);
    for end in &pair.ends {
        let stats = end.session.stats();
        assert_eq!(
            (stats.received.lost, stats.received.duplicates, stats.remote_lost),
            (0, 0, 0)
        );
        assert_eq!(stats.received.received + 1, stats.sent.max(stats.received.received + 1));
        assert_eq!(stats.strangers + stats.invalid + stats.unknown_payloads, 0);
    }
}
