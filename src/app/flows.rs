//! Call flows and prompts as files: read at the start, read again when they change.
//!
//! A changed file takes effect with the next call. A broken one is refused, told in the log with every mistake, and what
//! was there before stays. A file that disappears leaves its flow in place until the next start: nobody's line goes dead
//! because an editor saves by renaming.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dialplan::{self, Flow, Library, PromptId, PromptIndex, Replaced, Report};
use crate::speech::Speech;
use crate::speech::catalog::Catalog;

/// Editors write a file in several steps; they are done after this.
const SETTLE: Duration = Duration::from_millis(300);

/// The prompts that flows may name.
#[must_use]
pub fn prompt_index(catalog: &Catalog) -> PromptIndex {
    catalog.languages().fold(PromptIndex::new(), |index, language| {
        let prompts = catalog.prompts(language);
        let ids = prompts
            .into_iter()
            .flat_map(|prompts| prompts.ids())
            .filter_map(PromptId::parse);
        index.with(language.as_str(), ids)
    })
}

/// A flow file with what is to be said of it.
pub struct Checked {
    /// The file.
    pub file: PathBuf,
    /// The flow, if it passed.
    pub flow: Option<Flow>,
    /// Errors and warnings.
    pub report: Report,
}

/// Reads and checks one flow.
///
/// # Errors
/// When the file cannot be read.
pub fn check_file(file: &Path, prompts: &PromptIndex) -> anyhow::Result<Checked> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (flow, report) = match dialplan::load(&file.to_string_lossy(), &text, prompts) {
        Ok(loaded) => (Some(loaded.flow), loaded.report),
        Err(report) => (None, report),
    };
    Ok(Checked {
        file: file.to_owned(),
        flow,
        report,
    })
}

/// Reads and checks every `*.toml` of a folder, by name; one that cannot be read hides nothing of the others.
///
/// # Errors
/// When the folder cannot be read, or there is no flow in it.
pub fn check_folder(folder: &Path, prompts: &PromptIndex) -> anyhow::Result<Vec<(PathBuf, anyhow::Result<Checked>)>> {
    let unreadable = || format!("cannot read the folder of call flows {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let file = entry.with_context(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
    }
    files.sort();
    anyhow::ensure!(
        !files.is_empty(),
        "there is no call flow (*.toml) in {}",
        folder.display()
    );
    let check = |file: PathBuf| {
        let checked = check_file(&file, prompts);
        (file, checked)
    };
    Ok(files.into_iter().map(check).collect())
}

/// Loads the library for the first time.
///
/// # Errors
/// Every mistake in every flow.
pub fn load(folder: &Path, prompts: &PromptIndex) -> anyhow::Result<Arc<Library>> {
    let library = Arc::new(Library::new());
    let mut mistakes = String::new();
    for (_, checked) in check_folder(folder, prompts)? {
        match checked {
            Ok(Checked { flow: Some(flow), .. }) => drop(library.put(flow)),
            Ok(Checked { report, .. }) => mistakes.push_str(&report.to_string()),
            Err(error) => mistakes.push_str(&format!("{error:#}\n")),
        }
    }
    anyhow::ensure!(mistakes.is_empty(), "call flows have mistakes:\n{mistakes}");
    Ok(library)
}

/// Notices that flows or prompts were changed. To be begun before they are read for the first time: reading all prompts
/// takes seconds, and what is changed meanwhile must not be missed.
pub struct Watch {
    flows: PathBuf,
    prompts: PathBuf,
    changes: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Begins; `None`, told in the log, when the system does not tell of changes.
    #[must_use]
    pub fn begin(flows: &Path, prompts: &Path) -> Option<Self> {
        // One place is enough: what matters is that something happened.
        let (sender, changes) = mpsc::channel::<()>(1);
        let notice = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        };
        let watching = notify::recommended_watcher(notice).and_then(|mut watcher| {
            watcher.watch(flows, RecursiveMode::NonRecursive)?;
            watcher.watch(prompts, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => Some(Self {
                flows: flows.to_owned(),
                prompts: prompts.to_owned(),
                changes,
                _watcher: watcher,
            }),
            Err(error) => {
                tracing::warn!(%error, "changed files are not noticed; restart to load them");
                None
            }
        }
    }

    /// Reloads what has changed, until `stop`.
    pub async fn follow(mut self, library: Arc<Library>, speech: Speech, stop: CancellationToken) {
        while let Some(Some(())) = stop.run_until_cancelled(self.changes.recv()).await {
            tokio::time::sleep(SETTLE).await;
            while self.changes.try_recv().is_ok() {}
            reload(&self.flows, &self.prompts, &library, &speech).await;
        }
    }
}

async fn reload(flows: &Path, prompts: &Path, library: &Library, speech: &Speech) {
    match speech.reload(prompts).await {
        Ok(_) => tracing::debug!("prompts are read again"),
        Err(findings) => {
            for finding in findings {
                tracing::error!(%finding, "prompts are refused, the old ones stay");
            }
        }
    }
    let checked = match check_folder(flows, &prompt_index(&speech.catalog())) {
        Ok(checked) => checked,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "call flows are refused, the old ones stay"
            );
            return;
        }
    };
    for (file, checked) in checked {
        let file = file.display();
        match checked.map(|checked| (checked.flow.map(|flow| library.put(flow)), checked.report)) {
            Ok((Some(Replaced::Changed { .. } | Replaced::New), _)) => {
                tracing::info!(%file, "the next call gets the new flow");
            }
            Ok((Some(Replaced::Unchanged), _)) => {}
            Ok((None, report)) => tracing::error!(%file, "the flow is refused, the old one stays:\n{report}"),
            Err(error) => {
                tracing::error!(%file, error = format!("{error:#}"), "the flow is refused, the old one stays")
            }
        }
    }
}
