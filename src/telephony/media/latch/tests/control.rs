//! Whose reports (RTCP) are believed, and where ours go.

use super::*;

const RTCP: &str = "198.51.100.5:4001";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

fn scene() -> (Scene, ControlLatch) {
    (Scene::talked(SIGNALLED), ControlLatch::new(Some(address(RTCP))))
}

fn target(control: ControlLatch, scene: &Scene) -> Option<SocketAddr> {
    control.target(scene.latch.current().expect("known"))
}

#[test]
fn a_stray_packet_of_the_right_host_moves_nothing() {
    let (scene, mut control) = scene();
    for port in [4_003, 9, 65_535] {
        let stray = SocketAddr::new(address(RTCP).ip(), port);
        assert!(!control.admit(&scene.latch, stray, false), "{port}");
    }
    assert!(!control.admit(&scene.latch, address(STRANGER), true));
    assert_eq!(target(control, &scene), Some(address(RTCP)));
}

#[test]
fn reports_about_the_stream_that_is_heard_are_followed() {
    let (scene, mut control) = scene();
    let elsewhere = address("198.51.100.5:5555");
    assert!(control.admit(&scene.latch, elsewhere, true));
    assert_eq!(target(control, &scene), Some(elsewhere));
    assert!(control.admit(&scene.latch, address(RTCP), false), "the SDP still holds");
    assert_eq!(target(control, &scene), Some(elsewhere));
}

#[test]
fn behind_a_nat_ours_go_one_above_until_theirs_were_seen() {
    let mut control = ControlLatch::new(Some(address(RTCP)));
    let scene = Scene::talked(NAT);
    let above = address("203.0.113.5:61001");
    assert_eq!(target(control, &scene), Some(above));
    assert!(control.admit(&scene.latch, above, false));
    let mapped = address("203.0.113.5:50000");
    assert!(!control.admit(&scene.latch, mapped, false));
    assert!(control.admit(&scene.latch, mapped, true));
    assert_eq!(target(control, &scene), Some(mapped));
}

/// Nobody has proved anything yet.
#[test]
fn before_media_was_heard_only_the_signalled_address_reports() {
    let latch = Scene::new().latch;
    let mut control = ControlLatch::new(Some(address("198.51.100.5:7000")));
    assert!(!control.admit(&latch, address(RTCP), true), "one above RTP");
    assert!(control.admit(&latch, address("198.51.100.5:7000"), false));
    assert!(control.admit(&latch, address(SIGNALLED), false), "multiplexed");
}

#[test]
fn pinned_networks_hold_for_rtcp_as_well() {
    let latch = Scene::with(talking(SIGNALLED), &["203.0.113.0/24"], None).latch;
    assert!(!ControlLatch::new(Some(address(RTCP))).admit(&latch, address(RTCP), true));
}
