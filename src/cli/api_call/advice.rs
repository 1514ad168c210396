//! What to do about a fault, for the person who administers the server or builds the IVR.

use crate::api::client::Answer;

/// What to do, if it is known.
pub(super) fn on(answer: &Answer) -> &'static str {
    match answer.problem() {
        Some("sign-in-refused") => {
            "name, password, client certificate or network is wrong, and the server does not say which: look with `passline \
             api user list`, and at --client-certificate; `passline api user rotate` gives another password"
        }
        Some("no-session") => {
            "the session has ended, most often because two minutes went by without a call (`api.idle`), or the requests come \
             from changing addresses: begin again"
        }
        Some("not-verified") => {
            "the evidence has expired (`evidence.lifetime`), or somebody has locked the person: begin again"
        }
        Some("not-allowed") => "the API user lacks a right; `passline api user allow NAME --allow RIGHT` gives it",
        Some("too-many-tries") => {
            "wait as long as the server says; `passline user unlock` frees a person who is locked out"
        }
        Some("too-many-requests") => "wait, or raise `api.requests_per_address` and `api.requests_per_user`",
        Some("no-questions") => {
            "too few people have answers to enough questions: look with `passline user list`, and at `questions.ask`"
        }
        Some("no-accounts") => "the person has no account there: look with `passline user show`",
        Some("no-more-passwords") => "ten passwords were proposed in this session: begin again",
        Some("rules-contradict") => "no password meets the rules of all systems: choose some with --system",
        Some("busy" | "unfinished" | "in-progress") => {
            "the server has too much to do: look at its load and at its database"
        }
        Some("not-begun") => "an account was in another change: begin again",
        Some("internal") => "the log of the server says more",
        Some("unsupported-media-type" | "invalid-request" | "body-too-large") => {
            "the server has another version of the API: compare `passline --version` at both ends"
        }
        Some(_) => "docs/API.md and /api/docs tell what it means",
        None if answer.status == 404 => "there is no Passline at that URL, or an older one: look at host and port",
        None => "that is no answer of Passline: look at host and port, and at proxies between",
    }
}
