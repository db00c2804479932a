//! Which changes of a table's shape flow through, and which stop with a word.

use super::super::catalog::CatalogColumn;
use super::*;

fn catalog(columns: &[(&str, bool)]) -> CatalogTable {
    CatalogTable {
        oid: 7,
        name: TableName::new("public", "t"),
        kind: b'r',
        persistence: b'p',
        replica_identity: b'd',
        deviating_partitions: Vec::new(),
        columns: columns
            .iter()
            .map(|(name, filled)| CatalogColumn {
                name: (*name).to_owned(),
                type_name: "integer".to_owned(),
                form: TextForm::Integer,
                nullable: true,
                filled: *filled,
            })
            .collect(),
        generated: BTreeSet::new(),
        primary: Some(vec!["id".to_owned()]),
        identity_index: None,
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        referenced: Vec::new(),
    }
}

fn told(columns: &[&str]) -> Told {
    Told {
        id: 7,
        name: TableName::new("public", "t"),
        replica_identity: b'd',
        columns: columns
            .iter()
            .map(|name| ToldColumn {
                name: (*name).to_owned(),
                in_identity: *name == "id",
                type_oid: 23,
                type_modifier: -1,
            })
            .collect(),
    }
}

/// What the log tells, the types it tells them with, what the catalog has now, what was known; then whether it flows (and is newer) or the word it stops with.
fn check(
    log: &[&str],
    type_name: &str,
    now: &[(&str, bool)],
    known: &[&str],
    expect: Result<bool, &str>,
) {
    let known_table = catalog(&known.iter().map(|name| (*name, false)).collect::<Vec<_>>());
    let known = known_table.current_shape(None);
    let types = vec![(type_name.to_owned(), TextForm::Integer); log.len()];
    let now = catalog(now);
    let judged = judge(&told(log), &types, Some(&now), None, Some(&known), None);
    match (judged, expect) {
        (Ok((schema, renewed)), Ok(expected)) => {
            assert_eq!(renewed, expected);
            assert_eq!(schema.columns.len(), log.len());
        }
        (Err(error), Err(word)) => {
            assert_eq!(error.code, code::SHAPE_CHANGED);
            assert!(error.message.contains(word), "{}", error.message);
        }
        (judged, expect) => panic!("{judged:?} where {expect:?} was expected"),
    }
}

#[test]
fn only_what_is_certain_flows_through() {
    let (id, a, b) = (("id", false), ("a", false), ("b", false));
    check(&["id", "a"], "integer", &[id, a], &["id", "a"], Ok(true));
    check(
        &["id", "a", "b"],
        "integer",
        &[id, a, b],
        &["id", "a"],
        Ok(true),
    );
    check(
        &["id", "a"],
        "integer",
        &[id, a, b],
        &["id", "a", "b"],
        Ok(false),
    );
    check(
        &["id"],
        "integer",
        &[id],
        &["id", "a"],
        Err("a was dropped or renamed"),
    );
    check(
        &["id", "b"],
        "integer",
        &[id, b],
        &["id", "a"],
        Err("a was dropped or renamed"),
    );
    check(
        &["id", "a"],
        "bigint",
        &[id, a],
        &["id", "a"],
        Err("from integer to bigint"),
    );
    check(
        &["id", "b"],
        "integer",
        &[id, ("b", true)],
        &["id"],
        Err("b was added with a default"),
    );
    check(&["a"], "integer", &[a], &["id", "a"], Err("key changed"));
}

#[test]
fn a_key_that_the_log_does_not_mark_is_not_guessed() {
    let mut other = told(&["id", "a"]);
    for column in &mut other.columns {
        column.in_identity = column.name == "a";
    }
    let types = vec![("integer".to_owned(), TextForm::Integer); 2];
    let now = catalog(&[("id", false), ("a", false)]);
    let judged = judge(&other, &types, Some(&now), None, None, None);
    assert_eq!(judged.map_err(|error| error.code), Err(code::SHAPE_CHANGED));
}
