//! Composition root: builds everything from a configuration, supervises it, drains and stops it.
//!
//! | module | what it does |
//! |---|---|
//! | [`engine`] | the running program |
//! | [`api`] | the web API |
//! | [`backstage`] | database, peppers, targets and services |
//! | [`voices`], [`flows`], [`trunks`] | prompts and engines, call flows, trunk files |
//! | [`sources`] | people, read when it is time |
//! | [`metrics`] | what is scraped |
//! | [`file_handles`], [`core_dumps`] | the limit of open files, and no memory on disk |
//! | [`demo_data`], [`demo_caller`] | people and systems for demonstrations, and somebody who calls |

pub mod api;
pub mod backstage;
mod connector;
pub mod core_dumps;
pub mod demo_caller;
pub mod demo_data;
pub mod engine;
pub mod file_handles;
pub mod flows;
pub mod metrics;
pub mod sources;
pub mod trunks;
pub mod voices;
