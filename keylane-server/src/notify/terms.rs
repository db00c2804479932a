//! The configuration in the words of the mechanism.

use std::sync::Arc;

use keylane_core::notify::{AllTerms, Rules, Terms};

use crate::config::{Config, Notify, Pipeline};

/// Who is told of each pipeline.
pub fn terms(config: &Config) -> AllTerms {
    let notify = &config.notify;
    let general = Terms {
        channels: notify
            .channels
            .keys()
            .map(|name| name.as_str().into())
            .collect(),
        min_rows: notify.min_rows,
        min_ratio: share(notify.min_ratio_ppm),
        values: notify.values,
    };
    let pipelines = config.pipelines.iter();
    let of = pipelines.map(|(name, pipeline)| {
        let name: Arc<str> = name.as_str().into();
        (name, own(notify, pipeline, &general))
    });
    AllTerms {
        of: of.collect(),
        general,
    }
}

fn own(notify: &Notify, pipeline: &Pipeline, general: &Terms) -> Terms {
    let own = &pipeline.notify;
    let named = own.channels.as_ref();
    let named = named.map(|names| names.iter().map(|name| name.as_str().into()).collect());
    Terms {
        channels: named.unwrap_or_else(|| general.channels.clone()),
        min_rows: own.min_rows.unwrap_or(notify.min_rows),
        min_ratio: share(own.min_ratio_ppm.unwrap_or(notify.min_ratio_ppm)),
        values: own.values.unwrap_or(notify.values),
    }
}

fn share(ppm: u32) -> f64 {
    f64::from(ppm) / 1_000_000.0
}

/// A pipeline's rules.
pub fn rules_of(config: &Config, pipeline: &Pipeline) -> Rules {
    pipeline.notify.rules.or(config.notify.rules)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TEXT: &str = "version: 1
notify:
  channels:
    ops: { slack: { url: https://hooks.slack.com/services/T0 } }
    audit: { webhook: { url: https://audit } }
  min_rows: 5
  min_ratio: 0.1%
  rules: { lag: { above: 5m }, parked: { keys: 3 } }
pipelines:
  shop:
    origin: { sqlite: { path: a.db } }
    replica: { sqlite: { path: b.db } }
  reports:
    origin: { sqlite: { path: c.db } }
    replica: { sqlite: { path: d.db } }
    notify: { channels: [audit], min_rows: 1, values: true, rules: { lag: { for: 1s }, stuck: { tell: false } } }
  silent:
    origin: { sqlite: { path: e.db } }
    replica: { sqlite: { path: f.db } }
    notify: { channels: [] }
";

    #[test]
    fn a_pipeline_has_what_it_says_and_otherwise_what_holds_for_all() {
        let config = Config::parse(TEXT, Path::new("keylane.yaml"), &|_| None);
        let config = config.expect("it is right");
        let all = terms(&config);
        let told = |pipeline: Option<&str>| {
            let terms = all.of(pipeline);
            let names: Vec<&str> = terms.channels.iter().map(|name| &**name).collect();
            (
                names.join(","),
                terms.min_rows,
                terms.min_ratio,
                terms.values,
            )
        };
        let both = ("audit,ops".to_owned(), 5, 0.001, false);
        assert_eq!(told(None), both);
        assert_eq!(told(Some("shop")), both);
        let audit = ("audit".to_owned(), 1, 0.001, true);
        assert_eq!(told(Some("reports")), audit);
        assert_eq!(told(Some("silent")).0, "");
        let rules = |name: &str| {
            let mut pipelines = config.pipelines.iter();
            let (_, pipeline) = pipelines
                .find(|(known, _)| known.as_str() == name)
                .expect("it is there");
            rules_of(&config, pipeline)
        };
        let (shop, reports) = (rules("shop"), rules("reports"));
        assert_eq!(shop.lag.map(|rule| rule.above_ms), Some(300_000));
        assert_eq!(shop.stuck.map(|rule| rule.hold_ms), Some(300_000));
        let own = reports.lag.map(|rule| (rule.above_ms, rule.hold_ms));
        assert_eq!(own, Some((60_000, 1_000)), "a rule of its own, all of it");
        assert_eq!(reports.stuck, None);
        assert_eq!(reports.parked.map(|rule| rule.keys), Some(3));
    }
}
