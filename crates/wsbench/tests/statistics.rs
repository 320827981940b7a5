//! Our statistics against scipy's answers on the same samples, which scripts/statistics-reference made.

use serde_json::Value;
use wsbench::analysis::{inference::p_value, rank_sum::RankSum, statistics::median_interval};

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
        let ours = p_value(&values, 0.0);
        match case["flip_p"].as_f64() {
            // Beyond 16 values ours is a series.
            Some(theirs) if values.len() > 16 && theirs < 1e-4 => {
                assert!(ours < 3.0 * theirs + 1e-6, "{ours}: {case}")
            }
            Some(theirs) if values.len() > 16 => assert!((ours / theirs - 1.0).abs() < 0.1, "{ours}: {case}"),
            Some(_) => assert!(close(ours, &case["flip_p"]), "{ours}: {case}"),
            None => assert!(values.len() > 20, "{case}"),
        }
        let (low, high) = median_interval(&values, 0.95).unwrap();
        assert_eq!(vec![low, high], numbers(&case["interval_95"]), "{case}");
    }
    for case in two.as_array().unwrap() {
        let p = RankSum::new(&numbers(&case["left"]), &numbers(&case["right"])).p_value();
        assert!(close(p, &case["p"]), "{p}: {case}");
    }
    assert_eq!(one.as_array().unwrap().len() + two.as_array().unwrap().len(), 36);
}
