//! Our statistics against scipy's answers on the same samples, which scripts/statistics-reference made.

use serde_json::Value;
use wsbench::analysis::statistics::{Test, interval, p_value, rank_sum_p};

#[test]
fn tests_and_intervals_are_those_of_scipy() {
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let reference: Value = serde_json::from_str(include_str!("statistics.json")).unwrap();
    let close = |ours: f64, theirs: &Value| (ours - theirs.as_f64().unwrap()).abs() < 1e-9;
    let (one, two) = (&reference["one_sample"], &reference["two_samples"]);
    for case in one.as_array().unwrap() {
        let values = numbers(&case["values"]);
        assert!(close(p_value(Test::Sign, &values), &case["sign_p"]), "{case}");
        assert!(close(p_value(Test::SignedRank, &values), &case["signed_rank_p"]), "{case}");
        let (low, high) = interval(Test::Sign, &values, 0.95).unwrap();
        assert_eq!(vec![low, high], numbers(&case["interval_95"]), "{case}");
    }
    for case in two.as_array().unwrap() {
        let p = rank_sum_p(&numbers(&case["left"]), &numbers(&case["right"]));
        assert!(close(p, &case["p"]), "{p}: {case}");
    }
    assert_eq!(one.as_array().unwrap().len() + two.as_array().unwrap().len(), 36);
}
