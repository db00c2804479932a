//! Whether each table of a replica is written by one pipeline only. Pure.
//!
//! Order and progress are kept for each pipeline by itself: what two write to one table comes in no order, and either may overwrite or delete the other's rows.

use std::collections::BTreeMap;

use keylane::preflight::Finding;
use keylane::workers::capture::topic_name;
use keylane_core::model::TableName;

const ID: &str = "replica.one_writer";

/// What a pipeline writes, and where.
#[derive(Clone, Debug)]
pub struct Writes {
    pipeline: String,
    replica: String,
    /// By how the names of their topics end, which holds the schema and the table.
    tables: BTreeMap<String, String>,
}

impl Writes {
    /// Of a pipeline that writes no table yet; `replica` is the same text for the same database.
    pub fn new(pipeline: &str, replica: &str) -> Writes {
        Writes {
            pipeline: pipeline.to_owned(),
            replica: replica.to_owned(),
            tables: BTreeMap::new(),
        }
    }

    /// It carries this table.
    pub fn add_table(&mut self, table: &TableName) {
        let ending = topic_name("", table).to_string();
        self.tables.insert(ending, table.to_string());
    }

    /// It applies this topic of another tool's, called `…SCHEMA.TABLE`.
    pub fn add_topic(&mut self, topic: &str) {
        let mut parts = topic.rsplit('.');
        if let (Some(table), Some(schema)) = (parts.next(), parts.next()) {
            let shown = format!("{schema}.{table}");
            self.tables.insert(format!(".{shown}"), shown);
        }
    }

    /// The same at a replica that has one schema: where the origin's own is the usual one, it is left out there.
    pub fn in_one_schema(mut self) -> Writes {
        let bare = |(ending, shown): (String, String)| {
            let ending = match ending.strip_prefix(".public.") {
                Some(table) => format!(".main.{table}"),
                None => ending,
            };
            (ending, shown)
        };
        self.tables = self.tables.into_iter().map(bare).collect();
        self
    }
}

/// Tables that several pipelines of one configuration write; subjects begin with the pipeline's name.
pub fn one_writer(all: &[Writes]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (place, writes) in all.iter().enumerate() {
        let earlier = all.iter().take(place);
        for other in earlier.filter(|other| other.replica == writes.replica) {
            let both = writes
                .tables
                .iter()
                .filter(|(ending, _)| other.tables.contains_key(*ending));
            findings.extend(both.map(|(_, table)| {
                Finding::failed(
                    ID,
                    format!("{}: replica table {table}", writes.pipeline),
                    format!("pipeline {} writes it too", other.pipeline),
                    "let one pipeline carry it: name it under `exclude` of the other, or give each a replica of its own",
                )
            }));
        }
    }
    findings
}

/// Tables to which pipelines of other configurations have applied something: `others` are their names and topics, by their progress at the replica.
pub fn no_other_writer(writes: &Writes, others: &[(String, String)]) -> Vec<Finding> {
    let meets = |(pipeline, topic): &(String, String)| {
        let met = writes
            .tables
            .iter()
            .find(|(ending, _)| topic.ends_with(&***ending));
        let (_, table) = met?;
        let found =
            format!("pipeline {pipeline} of another configuration has applied {topic} to it");
        let fix = format!(
            "let one pipeline carry it; once {pipeline} does not, run at the replica: DELETE FROM keylane.progress WHERE pipeline = '{pipeline}' AND topic = '{topic}';"
        );
        let subject = format!("replica table {table}");
        Some(Finding::failed(ID, subject, found, fix).warning())
    };
    others.iter().filter_map(meets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(pipeline: &str, replica: &str, tables: &[(&str, &str)]) -> Writes {
        let mut writes = Writes::new(pipeline, replica);
        for (schema, table) in tables {
            writes.add_table(&TableName::new(*schema, *table));
        }
        writes
    }

    fn subjects(findings: &[Finding]) -> Vec<&str> {
        let failed = findings.iter().filter(|finding| !finding.ok);
        failed.map(|finding| &*finding.subject).collect()
    }

    #[test]
    fn a_table_that_two_pipelines_write_is_told_and_none_that_differs_in_anything() {
        let all = [
            writes("eu", "reports", &[("public", "orders"), ("public", "eu")]),
            writes("us", "reports", &[("public", "orders"), ("sales", "eu")]),
            writes("copy", "elsewhere", &[("public", "orders")]),
        ];
        let findings = one_writer(&all);
        assert_eq!(subjects(&findings), ["us: replica table public.orders"]);
        assert!(findings.iter().all(Finding::is_failure), "{findings:?}");
    }

    #[test]
    fn what_another_tool_s_topic_is_named_after_counts_as_a_table() {
        let mut debezium = Writes::new("debezium", "reports");
        debezium.add_topic("dbserver1.public.orders");
        let own = writes("own", "reports", &[("public", "orders")]);
        let findings = one_writer(&[own, debezium]);
        assert_eq!(
            subjects(&findings),
            ["debezium: replica table public.orders"]
        );
    }

    #[test]
    fn in_a_file_the_usual_schemas_are_one() {
        let from = |name, schema| writes(name, "file", &[(schema, "orders")]).in_one_schema();
        let findings = one_writer(&[from("a", "public"), from("b", "main"), from("c", "sales")]);
        assert_eq!(subjects(&findings), ["b: replica table main.orders"]);
    }

    #[test]
    fn what_others_have_applied_is_told_by_their_topics() {
        let own = writes(
            "shop",
            "reports",
            &[("public", "orders"), ("public", "a.b")],
        );
        let others = [
            ("old", "old.public.orders"),
            ("old", "old.public.more_orders"),
            ("odd", "x.y.public.a_2e_b"),
        ];
        let others = others.map(|(pipeline, topic)| (pipeline.to_owned(), topic.to_owned()));
        let findings = no_other_writer(&own, &others);
        let expected = ["replica table public.orders", "replica table public.a.b"];
        assert_eq!(subjects(&findings), expected);
        assert!(!findings.iter().any(Finding::is_failure), "{findings:?}");
    }
}
