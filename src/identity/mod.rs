//! Rules about people and secrets, pure: no runtime, database, file, socket or clock. Time is a
//! [`Timestamp`](crate::time::Timestamp), randomness a [`rand::CryptoRng`]; both are parameters.
//!
//! ```text
//!  keys ──> keypad ──> user ─┐                      ┌─ right/wrong ─> attempt ──> evidence ──> (reset, unlock)
//!                     decoy ─┴─> question ─> answer ┘                    │
//!  calling number ─────────────> lockout <──── begun, passed, failed ────┘
//!  systems ──> policy ──> generator                 everything ─> event ─> audit
//! ```
//!
//! | module | what it decides |
//! |---|---|
//! | [`ids`] | identifiers and how they are made |
//! | [`user`], [`keypad`] | who can be meant by the keys that a caller pressed |
//! | [`profile`] | how to reach a user, and where they belong |
//! | [`pepper`] | the keys that are kept outside the database |
//! | [`question`], [`date`], [`answer`], [`answer_hash`] | what is asked, what counts as the same answer, how answers are kept |
//! | [`keyed_hash`], [`password_history`], [`client_secret`] | what hashes cost, which passwords a person had before, and how clients of the API sign in |
//! | [`decoy`] | whom a caller meets who keyed an ID that nobody has |
//! | [`attempt`], [`lockout`] | when somebody is verified, and how often they may try |
//! | [`evidence`] | the proof without which no reset compiles |
//! | [`policy`], [`generator`] | which passwords are good, and passwords made for ears |
//! | [`event`], [`audit`] | what is recorded, and how a changed record shows |
//!
//! Why answers and lockout are as they are: `docs/decisions/0003-answers-and-lockout.md`.

pub mod answer;
pub mod answer_hash;
pub mod attempt;
pub mod audit;
pub mod client_secret;
pub mod date;
pub mod decoy;
pub mod event;
pub mod evidence;
pub mod generator;
pub mod ids;
pub mod keyed_hash;
pub mod keypad;
pub mod lockout;
pub mod password_history;
pub mod pepper;
pub mod policy;
pub mod profile;
pub mod question;
pub mod user;

mod seconds;
