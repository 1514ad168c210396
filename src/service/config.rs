//! What the services can be told.

use std::time::Duration;

use serde::Deserialize;

use super::change::ChangeLimits;
use crate::identity::attempt::AttemptConfig;
use crate::identity::evidence::EvidenceConfig;
use crate::identity::generator::GeneratorConfig;
use crate::identity::keyed_hash::HashConfig;
use crate::identity::lockout::LockoutPolicies;
use crate::identity::policy::Policy;
use crate::identity::question::QuestionConfig;
use crate::integration::target::Expiry;

/// The configuration of the services.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name of this node; unique among those that share a database. A start under the same name resolves what the
    /// earlier process of that name has left open.
    pub node: String,
    /// How many questions, and how long they stay the same.
    pub questions: QuestionConfig,
    /// How many rounds.
    pub attempt: AttemptConfig,
    /// How often somebody may try.
    pub lockout: LockoutPolicies,
    /// How long evidence lasts.
    pub evidence: EvidenceConfig,
    /// What hashing an answer costs.
    pub hashing: HashConfig,
    /// How many hashes are computed at once. One: of two cores, one belongs to the media clock.
    pub hashes_at_once: usize,
    /// How long a visit lasts at most. Half an hour: the longest call that a person endures, with reserve.
    #[serde(rename = "visit_lifetime_seconds", deserialize_with = "seconds")]
    pub visit_lifetime: Duration,
    /// How long a session of the web API may be unused. Two minutes: longer than a caller looks for a slip of paper.
    #[serde(rename = "api_idle_seconds", deserialize_with = "seconds")]
    pub api_idle: Duration,
    /// How many IDs may be keyed in one visit. Three: two slips of the finger, then the caller may call again.
    pub identifications_per_visit: u32,
    /// How many passwords may be proposed in one visit. Ten, as each costs the caller half a minute.
    pub proposals_per_visit: u32,
    /// What every password must look like, beyond what each system publishes.
    pub policy: Policy,
    /// How strong proposed passwords are.
    pub generator: GeneratorConfig,
    /// How long the parts of a change on a target may take.
    pub limits: ChangeLimits,
    /// Whether a new password must be changed at the next sign-in. It must: it was spoken over a telephone.
    pub expiry: Expiry,
    /// How many users may share the digits of an ID before an entry is treated as unknown.
    pub max_candidates: u32,
    /// Who is told of every event; names of outbox sinks.
    pub sinks: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: "passline".to_owned(),
            questions: QuestionConfig::default(),
            attempt: AttemptConfig::default(),
            lockout: LockoutPolicies::default(),
            evidence: EvidenceConfig::default(),
            hashing: HashConfig::default(),
            hashes_at_once: 1,
            visit_lifetime: Duration::from_secs(30 * 60),
            api_idle: Duration::from_secs(2 * 60),
            identifications_per_visit: 3,
            proposals_per_visit: 10,
            policy: Policy::classic(),
            generator: GeneratorConfig::default(),
            limits: ChangeLimits::default(),
            expiry: Expiry::AtNextSignIn,
            max_candidates: 8,
            sinks: vec!["log".to_owned()],
        }
    }
}

/// A part of the configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which section.
    pub section: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Config {
    /// Everything that cannot work; empty if it is good.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add =
            |section, message: Option<String>| problems.extend(message.map(|message| Problem { section, message }));
        add("questions", self.questions.check().err().map(|e| e.to_string()));
        add("lockout", self.lockout.check().err().map(|e| e.to_string()));
        add("evidence", self.evidence.check().err().map(|e| e.to_string()));
        add("generator", self.generator.check().err().map(|e| e.to_string()));
        add("policy", self.policy.validate().err().map(|e| e.to_string()));
        let rounds = (1..=5).contains(&self.attempt.rounds);
        add("attempt", (!rounds).then(|| "`rounds` is 1 to 5".to_owned()));
        let node = !self.node.is_empty() && self.node.len() <= 64;
        add(
            "node",
            (!node).then(|| "the name of a node has 1 to 64 characters".to_owned()),
        );
        for (name, number) in [
            ("hashes_at_once", self.hashes_at_once),
            ("identifications_per_visit", self.identifications_per_visit as usize),
            ("proposals_per_visit", self.proposals_per_visit as usize),
            ("max_candidates", self.max_candidates as usize),
        ] {
            add("visits", (number == 0).then(|| format!("`{name}` is at least 1")));
        }
        add("limits", self.limits.problem().map(str::to_owned));
        problems
    }
}

/// For durations in files: whole seconds under a key that ends in `_seconds`.
pub(super) fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Duration::from_secs)
}

/// For durations below a second: milliseconds under a key that ends in `_ms`.
pub(super) fn millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_and_a_file_may_say_less_than_all() {
        assert_eq!(Config::default().problems(), []);
        let config: Config = toml::from_str(
            "node = \"a\"\nvisit_lifetime_seconds = 60\nexpiry = \"keep\"\n[questions]\nask = 2\nright = 2\n\
             [limits]\nrequest_seconds = 2\npause_ms = 50\n",
        )
        .unwrap();
        assert_eq!(config.visit_lifetime, Duration::from_secs(60));
        assert_eq!(config.expiry, Expiry::Keep);
        assert_eq!(config.limits.pause, Duration::from_millis(50));
        assert_eq!(config.questions.ask, 2);
        assert_eq!(config.proposals_per_visit, 10);
        assert!(toml::from_str::<Config>("nodes = 1").is_err());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let mut config = Config {
            node: String::new(),
            hashes_at_once: 0,
            ..Config::default()
        };
        config.attempt.rounds = 9;
        config.questions.right = 9;
        config.limits.request = Duration::from_secs(60);
        let sections: Vec<_> = config.problems().iter().map(|problem| problem.section).collect();
        assert_eq!(sections, ["questions", "attempt", "node", "visits", "limits"]);
    }
}
