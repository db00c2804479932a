//! Values of one column in two databases: which are one, and which are not.

use super::super::plan::Engine;
use super::*;
use Sameness::{Different, Lossy, Same, Unrepresentable};

fn pg(type_name: &str) -> Kind {
    Kind::of(Engine::Postgres, type_name)
}

fn check(kinds: (Kind, Kind), origin: Value, replica: Value, expect: Sameness) {
    let found = sameness(kinds, &origin, &replica);
    assert_eq!(found, expect, "{kinds:?}: {origin:?} {replica:?}");
}

fn check_alike(type_name: &str, one: &str, other: &str, expect: Sameness) {
    let kinds = (pg(type_name), pg(type_name));
    check(kinds, Value::text(one), Value::text(other), expect);
    check(kinds, Value::text(other), Value::text(one), expect);
}

#[test]
fn null_is_equal_to_null_only() {
    for other in ["", " ", "NULL", "null", "<null>", "_null_recon_", "0"] {
        let kinds = (pg("text"), pg("text"));
        check(kinds, Value::Null, Value::text(other), Different);
        check(kinds, Value::text(other), Value::Null, Different);
    }
    let kinds = (pg("text"), pg("text"));
    check(kinds, Value::Null, Value::Null, Same);
    check(kinds, Value::Absent, Value::Absent, Different);
}

#[test]
fn numbers_are_compared_by_all_their_digits() {
    check_alike("numeric", "1.5", "1.50", Same);
    check_alike("numeric", "1.1", "1.4", Different);
    check_alike("numeric", "1.5000000001", "1.9", Different);
    check_alike("numeric", "NaN", "NaN", Same);
    check_alike("numeric", "NaN", "0", Different);
    check_alike("bigint", "9007199254740993", "9007199254740992", Different);
    check_alike("double precision", "1e-20", "2e-20", Different);
    check_alike("double precision", "-0", "0", Same);
    check_alike("double precision", "1e+300", "Infinity", Different);
    check_alike("real", "1.2345671", "1.2345674", Different);
}

#[test]
fn text_is_compared_byte_by_byte_but_for_blanks_that_char_pads() {
    check_alike("text", "a", "a ", Different);
    check_alike("text", "a", "A", Different);
    check_alike("text", "é", "e\u{301}", Different);
    check_alike("text", "ok \u{1F600}", "ok \u{1F601}", Different);
    check_alike("character(5)", "ab   ", "ab", Same);
    check_alike("character(5)", " ab", "ab", Different);
    check_alike("citext", "Ab", "aB", Same);
    check_alike("json", "{\"a\":1}", "{\"a\": 1}", Different);
}

#[test]
fn jsonb_is_compared_by_what_it_means() {
    check_alike(
        "jsonb",
        "{\"a\": 1.0, \"b\": [1]}",
        "{\"b\": [1.00], \"a\": 1}",
        Same,
    );
    check_alike("jsonb", "{\"a\": 1}", "{\"a\": 1, \"b\": null}", Different);
    check_alike("jsonb", "[1, 2]", "[2, 1]", Different);
    check_alike("jsonb", "\"1\"", "1", Different);
    check_alike("jsonb", "\"\\u00e9\"", "\"é\"", Same);
    check_alike("jsonb", "9007199254740993", "9007199254740992", Different);
    check_alike("jsonb", "true", "false", Different);
    let deep = |leaf: &str| format!("{}{leaf}{}", "[".repeat(500), "]".repeat(500));
    check_alike("jsonb", &deep("1"), &deep("2"), Different);
}

#[test]
fn moments_are_compared_to_their_last_digit() {
    let stamp = "timestamp without time zone";
    check_alike(
        stamp,
        "2020-01-01 10:00:00",
        "2020-01-01 10:00:00.000",
        Same,
    );
    check_alike(
        stamp,
        "2020-01-01 10:00:00",
        "2020-01-01 10:00:00.000001",
        Different,
    );
    check_alike(
        stamp,
        "0044-03-15 00:00:00 BC",
        "0044-03-15 00:00:00",
        Different,
    );
    check_alike(stamp, "infinity", "-infinity", Different);
    let (whole, bounded) = (pg(stamp), pg("timestamp(3) without time zone"));
    for (left, expect) in [
        ("2020-01-01 10:00:00.123", Lossy),
        ("2020-01-01 10:00:00.124", Lossy),
        ("2020-01-01 10:00:00.125", Different),
        ("2020-01-01 10:00:01.123", Different),
    ] {
        let origin = Value::text("2020-01-01 10:00:00.123500");
        check((whole, bounded), origin, Value::text(left), expect);
    }
}

#[test]
fn what_the_replicas_column_cannot_hold_is_told_apart_from_a_difference() {
    let numeric = pg("numeric");
    let bounded = pg("numeric(10,2)");
    check(
        (numeric, bounded),
        Value::text("1.005"),
        Value::text("1.01"),
        Lossy,
    );
    check(
        (numeric, bounded),
        Value::text("1.005"),
        Value::text("1.02"),
        Different,
    );
    check(
        (bounded, numeric),
        Value::text("1.01"),
        Value::text("1.005"),
        Different,
    );
    let (double, real) = (pg("double precision"), pg("real"));
    check(
        (double, real),
        Value::number("0.1234567891"),
        Value::number("0.12345679"),
        Lossy,
    );
    let stored = Kind::AsStored;
    check(
        (numeric, stored),
        Value::text("0.1234567890123456789"),
        Value::number("0.12345678901234568"),
        Lossy,
    );
    check(
        (numeric, stored),
        Value::text("1.50"),
        Value::number("1.5"),
        Same,
    );
    check(
        (double, stored),
        Value::text("NaN"),
        Value::Null,
        Unrepresentable,
    );
    check((double, stored), Value::number("1"), Value::Null, Different);
}

#[test]
fn a_column_of_sqlite_holds_what_the_other_sides_type_says() {
    let stored = Kind::AsStored;
    check(
        (pg("boolean"), stored),
        Value::Bool(true),
        Value::number("1"),
        Same,
    );
    check(
        (pg("boolean"), stored),
        Value::Bool(true),
        Value::number("2"),
        Different,
    );
    check(
        (stored, pg("boolean")),
        Value::number("0"),
        Value::Bool(false),
        Same,
    );
    check(
        (pg("integer"), stored),
        Value::number("1"),
        Value::number("1"),
        Same,
    );
    check(
        (pg("text"), stored),
        Value::text("1"),
        Value::number("1"),
        Same,
    );
    check(
        (pg("bytea"), stored),
        Value::text("\\x00ff"),
        Value::Bytes(Box::from([0, 255])),
        Same,
    );
    let id = "0190b6d2-7c3e-7000-8000-0123456789ab";
    check(
        (pg("uuid"), stored),
        Value::text(id),
        Value::text(id.to_uppercase()),
        Same,
    );
    check(
        (pg("jsonb"), stored),
        Value::text("{\"a\": 1}"),
        Value::text("{\"a\":1}"),
        Same,
    );
    check(
        (pg("double precision"), stored),
        Value::text("Infinity"),
        Value::number("9e999"),
        Same,
    );
}

#[test]
fn between_files_of_sqlite_a_cells_class_counts() {
    let stored = (Kind::AsStored, Kind::AsStored);
    check(stored, Value::number("1"), Value::text("1"), Different);
    check(
        stored,
        Value::text("a"),
        Value::Bytes(Box::from(*b"a")),
        Different,
    );
    check(stored, Value::number("1"), Value::number("1.0"), Same);
    check(stored, Value::number("-0.0"), Value::number("0.0"), Same);
    check(
        stored,
        Value::number("0.1"),
        Value::number("0.10000000000000002"),
        Different,
    );
}
