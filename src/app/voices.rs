//! Speech put together from a configuration.

use anyhow::Context as _;

use crate::config::Config;
use crate::speech::Speech;
use crate::speech::cache::Cache;
use crate::speech::synthesizer::Engines;

/// Starts the engines and reads the prompts. Engines that are not installed are told in the log and done without.
///
/// # Errors
/// Every mistake in the prompts.
pub async fn load(config: &Config) -> anyhow::Result<Speech> {
    let (engines, problems) = Engines::start(&config.speech.synthesis);
    for problem in problems {
        tracing::warn!(%problem, "a speech engine is missing; text without a recording may stay unspoken");
    }
    let folder = &config.speech.prompts;
    let cache = Cache::open(&config.speech.cache).with_context(|| "cannot use the folder of synthesized speech")?;
    let (speech, findings) = Speech::load(folder, engines, cache).await.map_err(|findings| {
        let list: Vec<String> = findings.iter().map(|finding| format!("  {finding}")).collect();
        anyhow::anyhow!(
            "the prompts in {} cannot be used:\n{}",
            folder.display(),
            list.join("\n")
        )
    })?;
    for finding in findings {
        tracing::debug!(%finding, "prompts");
    }
    Ok(speech)
}
