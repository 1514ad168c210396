//! Sessions against each other and against packets made by hand, in invented time.

mod anything;
mod harness;
mod hold_and_life;
mod keys;
mod latching;
mod network;
mod pacing;
mod recording;
mod redundancy;
mod reports;
