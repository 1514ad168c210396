//! What the parts of a call cost, without sockets, threads or waiting, and what the database does: `cargo bench`. Figures and their reading are in
//! `docs/PERFORMANCE.md`.

mod dialplan;
mod endpoint;
mod media;
mod messages;
mod service;
mod store;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
}

criterion_group!(
    name = parts;
    config = settings();
    targets = messages::all, endpoint::all, media::all, dialplan::all, store::all, service::all
);
criterion_main!(parts);
