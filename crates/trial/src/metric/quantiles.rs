//! Percentiles as figures.

use histogram::Distribution;

use super::Metric;

/// These quantiles of a distribution, without those for which it has too few samples.
pub(super) fn quantiles_of<'a>(
    distribution: &'a Distribution,
    quantiles: &'a [(Metric, f64)],
) -> impl Iterator<Item = (Metric, f64)> + 'a {
    // Decoded once: a report holds several percentiles of the same histogram.
    let decoded = distribution.histogram().ok();
    quantiles.iter().filter_map(move |(metric, q)| {
        let value = distribution.quantile_of_ns(decoded.as_ref()?, *q)?;
        Some((*metric, value as f64))
    })
}
