//! Plans against expectations that were worked out by hand.

use super::*;
use crate::model::TableName;

fn name(table: &str) -> TableName {
    TableName::new("public", table)
}

fn texts(columns: &[&str]) -> Vec<std::sync::Arc<str>> {
    columns.iter().map(|column| (*column).into()).collect()
}

fn table(of: &str, key: &[&str]) -> Table {
    Table {
        name: name(of),
        key: texts(key),
        references: Vec::new(),
        before: BeforeImage::Columns(texts(key)),
        rows: None,
        rate: None,
    }
}

fn required(columns: &[&str], parent: &str, parent_columns: &[&str]) -> Reference {
    Reference {
        columns: texts(columns),
        parent: name(parent),
        parent_columns: texts(parent_columns),
        required: true,
        cascades: false,
    }
}

impl Table {
    fn refers(mut self, reference: Reference) -> Self {
        self.references.push(reference);
        self
    }

    fn changes(mut self, changes_per_s: f64) -> Self {
        self.rate = Some(Rate {
            changes_per_s,
            bytes_per_change: None,
        });
        self
    }
}

/// Each group as `first(key) + second(key)`.
fn check(tables: &[Table], expect: &[&str]) {
    let told: Vec<String> = groups(tables)
        .iter()
        .map(|group| {
            let members = group.members.iter();
            let members =
                members.map(|it| format!("{}({})", it.table.name, it.order_key.join(",")));
            members.collect::<Vec<_>>().join(" + ")
        })
        .collect();
    assert_eq!(told, expect);
}

/// Three levels: an item knows its order, not its customer.
fn shop() -> Vec<Table> {
    vec![
        table("customers", &["id"]).changes(2.0),
        table("products", &["id"]).changes(0.5),
        table("orders", &["id"])
            .refers(required(&["customer_id"], "customers", &["id"]))
            .changes(40.0),
        table("order_items", &["id"])
            .refers(required(&["product_id"], "products", &["id"]))
            .refers(required(&["order_id"], "orders", &["id"]))
            .changes(120.0),
    ]
}

#[test]
fn items_follow_their_order_and_the_order_is_ordered_by_itself() {
    check(
        &shop(),
        &[
            "customers(id)",
            "orders(id) + order_items(order_id)",
            "products(id)",
        ],
    );
}

#[test]
fn keys_that_carry_the_grandparents_take_the_whole_chain_along() {
    let tables = [
        table("customers", &["id"]),
        table("orders", &["customer", "number"]).refers(required(
            &["customer"],
            "customers",
            &["id"],
        )),
        table("items", &["customer", "number", "line"]).refers(required(
            &["customer", "number"],
            "orders",
            &["customer", "number"],
        )),
    ];
    check(
        &tables,
        &["customers(id) + items(customer) + orders(customer)"],
    );
}

#[test]
fn a_table_follows_the_parent_it_is_bound_to_most_tightly() {
    let parents = || [table("a", &["id"]), table("b", &["id"])];
    let child = |references: Vec<Reference>, key: &[&str]| {
        let mut child = table("child", key);
        child.references = references;
        let mut all = parents().to_vec();
        all.push(child);
        all
    };
    let (to_a, to_b) = (
        required(&["a"], "a", &["id"]),
        required(&["b"], "b", &["id"]),
    );
    let cascading = Reference {
        cascades: true,
        ..to_b.clone()
    };
    check(
        &child(vec![to_a.clone(), cascading], &["id"]),
        &["a(id)", "b(id) + child(b)"],
    );
    // A join table: the primary key names b first.
    check(
        &child(vec![to_a.clone(), to_b.clone()], &["b", "a"]),
        &["a(id)", "b(id) + child(b)"],
    );
    // Nothing tells them apart: the first that is declared.
    check(
        &child(vec![to_b, to_a.clone()], &["id"]),
        &["a(id)", "b(id) + child(b)"],
    );
    // A row may be without a parent: it follows none.
    let optional = Reference {
        required: false,
        ..to_a
    };
    check(
        &child(vec![optional], &["id"]),
        &["a(id)", "b(id)", "child(id)"],
    );
}

#[test]
fn a_reference_to_something_else_than_the_primary_key_is_not_followed() {
    let tables = [
        table("users", &["id"]),
        table("logins", &["id"]).refers(required(&["email"], "users", &["email"])),
        table("tree", &["id"]).refers(required(&["up"], "tree", &["id"])),
        table("log", &[]).refers(required(&["user_id"], "users", &["id"])),
    ];
    check(&tables, &["log()", "logins(id)", "tree(id)", "users(id)"]);
}

#[test]
fn a_ring_is_cut_at_its_first_table() {
    let tables = [
        table("a", &["id"]).refers(required(&["id"], "c", &["id"])),
        table("b", &["id"]).refers(required(&["id"], "a", &["id"])),
        table("c", &["id"]).refers(required(&["id"], "b", &["id"])),
    ];
    check(&tables, &["a(id) + b(id) + c(id)"]);
}

fn partitions_of(plan: &Plan) -> Vec<(String, u32)> {
    let topics = plan.topics.iter();
    topics
        .map(|topic| (topic.name.name.to_string(), topic.partitions))
        .collect()
}

#[test]
fn a_table_that_drowns_the_others_gets_a_topic_of_its_own_and_the_cost_is_told() {
    let mut tables = shop();
    let plan_of = |tables: &[Table]| plan(tables, &Inputs::default());
    assert_eq!(plan_of(&tables).topics.len(), 3);
    for table in &mut tables {
        if &*table.name.name == "order_items" {
            // 39,960 of 40,000/s: 99.9 %.
            *table = table.clone().changes(39_960.0);
        }
    }
    let plan = plan_of(&tables);
    // 3 × 39,960/s × 500 B = 59.94 MB/s: 6 partitions.
    assert_eq!(
        partitions_of(&plan),
        [
            ("customers", 2),
            ("order_items", 6),
            ("orders", 2),
            ("products", 2)
        ]
        .map(|(name, partitions)| (name.to_owned(), partitions))
    );
    let items = plan
        .topics
        .iter()
        .find(|topic| &*topic.name.name == "order_items");
    let items = items.expect("its own topic");
    assert_eq!(items.tables[0].order_key, texts(&["order_id"]));
    let evidence: Vec<&str> = items
        .why
        .iter()
        .filter(|why| why.rule == Rule::OwnRate)
        .map(|why| &*why.evidence)
        .collect();
    assert!(
        evidence
            .iter()
            .any(|it| it.contains("99.9 %") && it.contains("20 MB/s")),
        "{evidence:?}"
    );
}

#[test]
fn what_the_origin_does_not_tell_of_a_row_before_is_warned_of_with_the_command() {
    let warned = |tables: &[Table]| {
        let plan = plan(tables, &Inputs::default());
        let fixes = plan.warnings.into_iter().map(|warning| warning.fix);
        fixes
            .filter(|fix| fix.contains("REPLICA IDENTITY"))
            .collect::<Vec<_>>()
    };
    let mut tables = shop();
    assert_eq!(
        warned(&tables),
        [r#"run: ALTER TABLE "public"."order_items" REPLICA IDENTITY FULL"#]
    );
    for table in &mut tables {
        table.before = BeforeImage::Whole;
    }
    assert!(warned(&tables).is_empty());
}

#[test]
fn a_thousand_quiet_tables_fit_into_the_brokers_with_one_partition_each_and_are_warned_of() {
    let tables: Vec<Table> = (0..1000)
        .map(|number| table(&format!("t{number:04}"), &["id"]).changes(f64::from(number) / 1000.0))
        .collect();
    // Three brokers, three copies, latency matters: 900 replicas on each, 900 partitions in all. 1,000 topics of two are cut to one each, and are still too many.
    let all = plan(&tables, &Inputs::default());
    assert_eq!((all.topics.len(), all.partitions()), (1000, 1000));
    assert!(
        all.warnings.iter().any(|it| it.found.contains("900")),
        "{:?}",
        all.warnings
    );
    // Six brokers: 1,800 replicas on each, 3,600 partitions: all of two.
    let mut inputs = Inputs::default();
    inputs
        .set(Input::Brokers, 6.0, Said::Given)
        .expect("in range");
    assert_eq!(plan(&tables, &inputs).partitions(), 2000);
    // Half of them: 500 topics, 900 partitions; the 100 quietest have one.
    let half = plan(&tables[500..], &Inputs::default());
    assert_eq!(half.partitions(), 900);
    let single = half.topics.iter().filter(|topic| topic.partitions == 1);
    assert!(
        single
            .map(|topic| &*topic.name.name)
            .all(|name| ("t0500".."t0600").contains(&name))
    );
}

#[test]
fn what_if_tells_only_what_changes() {
    let mut tables = shop();
    for table in &mut tables {
        table.before = BeforeImage::Whole;
    }
    let before = plan(&tables, &Inputs::default());
    assert!(differences(&before, &before).is_empty());
    let mut inputs = Inputs::default();
    for (input, value) in parse_inputs("partitions=12,hot_key=0.05,service_ms=50").expect("right") {
        inputs.set(input, value, Said::Given).expect("in range");
    }
    let told = differences(&before, &plan(&tables, &inputs));
    let fields: Vec<String> = told
        .iter()
        .map(|it| format!("{} {}", it.subject, it.field))
        .collect();
    assert!(
        fields.contains(&"public.orders partitions".to_owned()),
        "{fields:?}"
    );
    // 1 / (0.05 × 50 ms) = 400/s; orders and their items are 3 × 160/s.
    assert!(
        told.iter().any(|it| it.to.contains("lets 400/s through")),
        "{told:?}"
    );
}
