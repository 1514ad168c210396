//! Whole calls through the stock flow, as stories: what a caller would live through.

use super::*;

fn tell(name: &str, script: &str) {
    let flow = Arc::new(flow("reset", SHIPPED[0].1));
    assert_transcript(&format!("reset_story_{name}"), &run(&flow, script));
}

const VERIFIED: &str =
    "keys 4711#\noutcome one\noutcome ask\nkeys 1984#\noutcome more\noutcome ask\nkeys 42#\noutcome passed\n";

fn verified(script: &str) -> String {
    format!("{VERIFIED}{script}")
}

#[test]
fn all_passwords() {
    let script = "keys 1\noutcome selected\noutcome proposed\nkeys 3\noutcome proposed\nkeys 2\noutcome done\nkeys 1\n\
                  keys 4\noutcome no\noutcome all\nkeys 2";
    tell("all_passwords", &verified(script));
}

#[test]
fn one_system_with_readback() {
    let script = "keys 2\noutcome several\nkeys 7#\noutcome nomatch\nkeys 2#\noutcome selected\noutcome proposed\n\
                  keys 4\noutcome yes\nkeys 2748#\noutcome mismatch\nkeys 4\noutcome yes\nkeys 2747#\noutcome match\n\
                  outcome some\nsilence";
    tell("one_system_with_readback", &verified(script));
}

#[test]
fn unlock_only_then_account_state() {
    let script = "keys 3\noutcome all\nkeys 1\nkeys 4\noutcome told\nkeys 2";
    tell("unlock_only_then_account_state", &verified(script));
}

#[test]
fn an_experienced_caller_types_ahead() {
    let script = "interrupt 4711#\noutcome one\noutcome ask\ninterrupt 1984#\noutcome passed\ninterrupt 1\n\
                  outcome selected\noutcome proposed\nkeys 4\noutcome no\noutcome all\nhang up";
    tell("an_experienced_caller_types_ahead", script);
}

#[test]
fn several_people_have_these_digits() {
    tell(
        "several_people_have_these_digits",
        "keys 7648401#\noutcome several\nkeys 4102#\noutcome one\noutcome ask\nhang up",
    );
}

#[test]
fn wrong_answers_until_locked_out() {
    let script = "keys 4711#\noutcome one\noutcome ask\nkeys 1#\noutcome retry\noutcome ask\nkeys 2#\noutcome locked";
    tell("wrong_answers_until_locked_out", script);
}

#[test]
fn a_calling_number_that_is_locked_out() {
    tell("a_calling_number_that_is_locked_out", "keys 4711#\noutcome refused");
}

#[test]
fn nobody_says_anything() {
    tell("nobody_says_anything", "silence\nsilence\nsilence");
}

#[test]
fn a_caller_who_falls_silent_keeps_the_old_password() {
    let script = "keys 1\noutcome selected\noutcome proposed\nsilence\nsilence\nsilence";
    tell("a_caller_who_falls_silent_keeps_the_old_password", &verified(script));
}

#[test]
fn wrong_keys_in_the_menu() {
    tell("wrong_keys_in_the_menu", &verified("keys 7\nkeys 8\nkeys *\nkeys 0"));
}

#[test]
fn hold_in_the_middle_of_the_password() {
    let script = "keys 1\noutcome selected\noutcome proposed\ninterrupt 1\nhold\nkeys 9\nkeys 2";
    tell("hold_in_the_middle_of_the_password", &verified(script));
}

#[test]
fn a_slow_reset_and_a_result_that_never_comes() {
    let script = "keys 1\noutcome selected\noutcome proposed\nkeys 4\noutcome no\nsilence\nsilence\nwait 60";
    tell("a_slow_reset_and_a_result_that_never_comes", &verified(script));
}

#[test]
fn a_call_over_its_limit() {
    tell(
        "a_call_over_its_limit",
        &verified("keys 1\noutcome selected\noutcome proposed\nwait 900"),
    );
}

#[test]
fn hanging_up_while_the_password_is_read() {
    let script = "keys 1\noutcome selected\noutcome proposed\ninterrupt 1\nhang up";
    tell("hanging_up_while_the_password_is_read", &verified(script));
}
