//! What holds, what is refused, and that the written form is read as the same condition.

use super::*;
use serde_json::json;

struct Fixture(Value, Value);

impl Scope for Fixture {
    fn data(&self) -> &Value {
        &self.0
    }
    fn reply(&self, step: &str) -> Option<&Value> {
        (step == "charge").then_some(&self.1)
    }
}

fn check(text: &str, expect: bool) {
    let scope = Fixture(
        json!({"notify": true, "n": 5, "tier": "gold", "none": null, "off": false, "big": 9_007_199_254_740_993_i64}),
        json!({"price": 99.5}),
    );
    let condition = Condition::parse(text).unwrap();
    assert_eq!(condition.holds(&scope), expect, "{text}");
    let again = Condition::parse(&condition.to_string()).unwrap();
    assert_eq!(again, condition, "{condition}");
}

#[test]
fn values_are_compared_by_what_they_are() {
    check("$.n == 5.0", true);
    check("$.n != 5", false);
    check("$charge.price >= 99.5 and $charge.price < 1e2", true);
    check("$.tier == 'gold'", true);
    check("$.tier > \"copper\"", true);
    check("$.n < '6'", false);
    check("$.big == 9007199254740992", false);
    check("$.n == -5", false);
}

#[test]
fn what_is_not_there_is_null_and_does_not_hold() {
    check("$.missing", false);
    check("$.missing == null", true);
    check("$.missing < 1", false);
    check("not $.missing >= 1", true);
    check("exists $.none", false);
    check("exists $.off", true);
    check("$.off", false);
    check("$nobody.reply.at[0]", false);
}

#[test]
fn not_binds_closer_than_and_and_and_closer_than_or() {
    check("$.notify or $.off and $.off", true);
    check("($.notify or $.off) and $.off", false);
    check("not $.off and $.notify", true);
    check("not ($.off and $.notify) and $.tier == \"a \\\" b\"", false);
}

#[test]
fn what_is_no_condition_is_refused_with_its_place() {
    for (text, at) in [
        ("", 1),
        ("$.a =", 5),
        ("$.a = 1", 5),
        ("$.a and", 8),
        ("($.a", 5),
        ("$.a $.b", 5),
        ("$.a == 'x", 8),
        ("drop()", 1),
        ("exists 5", 8),
        ("$.a == [1]", 8),
    ] {
        assert_eq!(Condition::parse(text).unwrap_err().at, at, "{text}");
    }
}

#[test]
fn neither_length_nor_depth_is_without_bound() {
    let deep = format!("{}$.a{}", "(".repeat(500), ")".repeat(500));
    assert!(Condition::parse(&deep).is_err());
    let long = format!("$.a{}", " and $.a".repeat(200));
    assert!(Condition::parse(&long).is_err());
    assert!(Condition::parse(&"x".repeat(Condition::BYTES_MAX + 1)).is_err());
    check(&format!("$.n{}", " and $.n".repeat(20)), true);
}
