//! What comes out: findings, and which rules could not be judged for want of what.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::rule::{Lint, Severity};
use super::{consuming, delivery, order, sizing, store};

/// A breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Lint,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a topic, a group, a client, a pipeline, the cluster.
    pub subject: String,
    /// What was found, with its figures.
    pub evidence: String,
    /// What to do.
    pub fix: String,
}

/// A rule that could not be judged, or not of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unjudged {
    /// The rule.
    pub rule: Lint,
    /// What would let it be judged.
    pub needs: Vec<String>,
    /// Whether some subjects could be judged.
    pub in_part: bool,
}

/// All that the rules say. Each rule is judged, not judged, or both in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings, worst first, then by rule.
    pub findings: Vec<Finding>,
    /// What could not be judged.
    pub unjudged: Vec<Unjudged>,
    /// Rules that were judged and are kept.
    pub kept: Vec<Lint>,
}

/// What one rule has seen.
#[derive(Debug, Default)]
pub(super) struct Judged {
    found: Vec<(String, String, String)>,
    looked: usize,
    needs: BTreeSet<String>,
}

impl Judged {
    /// A subject was looked at.
    pub(super) fn look(&mut self) {
        self.looked += 1;
    }

    /// Something could not be looked at without this.
    pub(super) fn need(&mut self, what: &str) {
        self.needs.insert(what.to_owned());
    }

    /// A breach.
    pub(super) fn find(
        &mut self,
        subject: impl Into<String>,
        evidence: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.found
            .push((subject.into(), evidence.into(), fix.into()));
    }
}

/// Judges all rules.
pub fn lint(facts: &Facts) -> Report {
    let mut report = Report::default();
    for rule in Lint::ALL {
        let mut judged = Judged::default();
        judge(rule, facts, &mut judged);
        let Judged {
            found,
            looked,
            mut needs,
        } = judged;
        if found.is_empty() && looked > 0 {
            report.kept.push(rule);
        }
        if looked == 0 && found.is_empty() && needs.is_empty() {
            needs.insert("something to look at: there was no topic".to_owned());
        }
        if !needs.is_empty() {
            report.unjudged.push(Unjudged {
                rule,
                needs: needs.into_iter().collect(),
                in_part: looked > 0 || !found.is_empty(),
            });
        }
        let findings = found.into_iter().map(|(subject, evidence, fix)| Finding {
            rule,
            severity: rule.about().severity,
            subject,
            evidence,
            fix,
        });
        report.findings.extend(findings);
    }
    report.findings.sort_by(|one, other| {
        let place = |it: &Finding| (std::cmp::Reverse(it.severity), it.rule, it.subject.clone());
        place(one).cmp(&place(other))
    });
    report
}

fn judge(rule: Lint, facts: &Facts, judged: &mut Judged) {
    match rule {
        Lint::L1 => sizing::too_few_partitions(facts, judged),
        Lint::L2 => sizing::too_many_replicas(facts, judged),
        Lint::L3 => sizing::long_crash(facts, judged),
        Lint::L4 => order::other_partitions(facts, judged),
        Lint::L5 => order::scattered_entities(facts, judged),
        Lint::L6 => order::mixed_partitioners(facts, judged),
        Lint::L7 => order::no_keys(facts, judged),
        Lint::L8 => order::hot_key(facts, judged),
        Lint::L9 => consuming::eager_group(facts, judged),
        Lint::L10 => consuming::long_drain(facts, judged),
        Lint::L11 => delivery::early_commit(facts, judged),
        Lint::L12 => delivery::gone_after_absence(facts, judged),
        Lint::L13 => delivery::uncommitted_reads(facts, judged),
        Lint::L14 => delivery::counted_though_compacted(facts, judged),
        Lint::L15 => store::batches_that_do_not_fit(facts, judged),
        Lint::L16 => store::few_connections(facts, judged),
        Lint::L17 => store::few_copies(facts, judged),
        Lint::L18 => sizing::quiet_topics(facts, judged),
        Lint::L19 => consuming::slow_static_members(facts, judged),
        Lint::L20 => sizing::idle_partitions(facts, judged),
        Lint::L21 => consuming::clumped_fetches(facts, judged),
        Lint::L22 => consuming::no_progress(facts, judged),
    }
}
