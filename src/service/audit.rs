//! Checking the audit log, page by page, in memory that does not grow with it. It needs the database only, so that it
//! runs offline, on a copy, by somebody who does not trust the program that wrote it.

use crate::identity::audit::{Anchor, Broken, Head, Verifier};
use crate::store::{Store, StoreError, audit};

/// How many links are read at once.
const PAGE: u32 = 500;

/// A log that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// Its end; note it elsewhere, and give it as an anchor next time.
    pub head: Head,
}

/// Why a log is not known to be whole.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It was tampered with.
    #[error("the audit log is broken")]
    Broken(#[from] Broken),
    /// It cannot be read.
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
}

/// Verifies the whole log against itself, the head that the database claims, and `anchors` that were noted elsewhere.
/// `progress` is told the sequence reached, page by page.
///
/// # Errors
/// [`AuditError::Broken`] with the first break.
pub async fn verify(
    store: &Store,
    mut anchors: Vec<Anchor>,
    mut progress: impl FnMut(u64),
) -> Result<AuditReport, AuditError> {
    // The head first: links that are appended meanwhile are beyond it, and no harm.
    let mut tx = store.read().await?;
    anchors.push(audit::head(&mut tx).await?);
    drop(tx);
    let mut verifier = Verifier::new(anchors);
    let mut reached = 0;
    loop {
        let mut tx = store.read().await?;
        let links = audit::page(&mut tx, reached, PAGE).await?;
        drop(tx);
        let Some(last) = links.last() else {
            break;
        };
        reached = last.entry.sequence;
        links.iter().try_for_each(|link| verifier.push(link))?;
        progress(reached);
    }
    Ok(AuditReport {
        head: verifier.finish()?,
    })
}
