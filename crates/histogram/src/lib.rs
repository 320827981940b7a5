//! Distributions of durations, kept whole.
//!
//! HdrHistogram with three significant digits from 1 ns to 1 h. They travel in its V2 format with deflate, in base64,
//! so that any percentile can be asked later and trials merge without loss.

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2DeflateSerializer},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest duration a histogram tells apart: that of an answer that comes after a freeze of minutes is still a figure. Longer
/// ones are counted, and no percentile is stated from them.
pub const HIGHEST: Duration = Duration::from_hours(1);

/// Three digits keep the relative error under 0.1 %, far below any difference that a verdict could rest on.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Two digits for the slices of a window: there are many, and what is read from them are changes of ten percent and more.
const SLICE_DIGITS: u8 = 2;

/// Most slices that are kept; what falls behind them counts in the last one.
const MAX_SLICES: usize = 2_000;

/// What a distribution is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Series {
    /// From before a message is sent until its echo has been read.
    RoundTrip,
    /// TCP connect.
    TcpConnect,
    /// WebSocket opening handshake, once TCP stands.
    Upgrade,
    /// TCP connect and opening handshake; of connects at a rate, from the instant at which they were intended.
    Handshake,
    /// From the end of the opening handshake until the first pushed message.
    FirstPush,
    /// From the start of the TCP connect until the first pushed message.
    ConnectToFirstPush,
    /// From the first message of a batch until the sender has handed the last one to the kernel.
    BatchSent,
    /// From the first message of a batch until the server's acknowledgement of the last one.
    BatchAcknowledged,
    /// How late a push arrived after the instant at which it was due.
    PushLag,
    /// Paced: from the instant at which a message was intended to be sent until its echo has been read.
    FromIntended,
    /// Paced: from the intended instant until the send, of messages whose connection was free at that instant: the
    /// generator's own lateness.
    GeneratorLag,
    /// Paced: from the intended instant until the send, of messages whose connection still waited for an echo at that
    /// instant: the server's doing.
    Queued,
    /// Broadcast: from the instant at which a message was intended to be published until a subscriber has read it.
    Delivery,
    /// Broadcast: the same, of the first subscriber that had each message.
    FirstDelivery,
    /// Broadcast: the same, of the subscriber in the middle.
    MedianDelivery,
    /// Broadcast: the same, of the last one, of messages that every subscriber got.
    LastDelivery,
    /// The latency that the load is about, of the connections that stop reading for a while: it is in no other series.
    Stalled,
}

/// One distribution as it stands in events and records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// Number of samples.
    pub count: u64,
    /// Exact sum of the samples, in nanoseconds.
    pub sum_ns: u64,
    /// Exact least sample, in nanoseconds; 0 without samples.
    pub min_ns: u64,
    /// Exact greatest sample, in nanoseconds; 0 without samples.
    pub max_ns: u64,
    /// Samples above the range of the histogram, which holds them as its largest value.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub over_range: u64,
    /// HdrHistogram V2 with deflate, in base64; values in nanoseconds.
    pub hdr: String,
}

impl Distribution {
    /// Decodes the histogram.
    ///
    /// # Errors
    /// When the text is not base64, not an HdrHistogram, or does not hold `count` samples.
    pub fn histogram(&self) -> anyhow::Result<Histogram<u64>> {
        let bytes = BASE64_STANDARD.decode(&self.hdr).context("the histogram is not base64")?;
        let inflated = inflate(&bytes).context("the histogram does not decode")?;
        let histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut inflated.as_slice())
            .map_err(|error| anyhow::anyhow!("the histogram does not decode: {error:?}"))?;
        anyhow::ensure!(
            histogram.len() == self.count,
            "the histogram holds {} samples where {} were stated",
            histogram.len(),
            self.count
        );
        Ok(histogram)
    }

    /// The value at quantile `q` (0 to 1) of `decoded`, this distribution's histogram, in nanoseconds.
    ///
    /// `None` where fewer than 10 / (1 − q) samples were taken: such a percentile is decided by a handful of
    /// samples and is not stated. Nor is one that lies among the samples above the range.
    pub fn quantile_of_ns(&self, decoded: &Histogram<u64>, q: f64) -> Option<u64> {
        // Rounded up against the floating-point error of 1 − q, so that p99 is stated from exactly 1,000 samples on.
        let needed = (10.0 / (1.0 - q) - 1e-6).ceil() as u64;
        let in_range = self.count.saturating_sub(self.over_range) as f64;
        let is_known = self.over_range == 0 || q * self.count as f64 <= in_range;
        (self.count >= needed && is_known).then(|| decoded.value_at_quantile(q).min(self.max_ns))
    }
}

/// Whether a count says nothing: for serde.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The value at quantile `q` of several distributions of equal digits together, in nanoseconds; `None` where they are no
/// histograms or hold too few samples for it, as in [`Distribution::quantile_of_ns`].
pub fn quantile_of_all(distributions: &[Distribution], q: f64) -> Option<u64> {
    let (first, others) = distributions.split_first()?;
    let mut all = first.histogram().ok()?;
    for other in others {
        all.add(other.histogram().ok()?).ok()?;
    }
    let count = distributions.iter().map(|part| part.count).sum();
    let max_ns = distributions.iter().map(|part| part.max_ns).max()?;
    let over_range = distributions.iter().map(|part| part.over_range).sum();
    Distribution { count, max_ns, over_range, ..first.clone() }.quantile_of_ns(&all, q)
}

/// What the compressed form begins with: a cookie, and the length of what follows.
const COMPRESSED_HEADER: usize = 8;

/// What the plain form begins with; bytes 4 to 8 of it are the length of the counts behind it.
const PLAIN_HEADER: usize = 40;

/// The plain form, with a bound on its size: the decoder believes the length that is stated, up to 4 GiB.
fn inflate(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    /// Several times what every count of our range can take.
    const LARGEST: u64 = 1 << 20;
    anyhow::ensure!(bytes.len() > COMPRESSED_HEADER, "it is too short");
    let mut plain = Vec::new();
    flate2::read::ZlibDecoder::new(&bytes[COMPRESSED_HEADER..]).take(LARGEST).read_to_end(&mut plain)?;
    anyhow::ensure!(plain.len() >= PLAIN_HEADER, "it is too short");
    let stated = u32::from_be_bytes([plain[4], plain[5], plain[6], plain[7]]);
    anyhow::ensure!(
        stated as usize == plain.len() - PLAIN_HEADER,
        "it states {stated} B of counts and holds {}",
        plain.len() - PLAIN_HEADER
    );
    Ok(plain)
}

/// One series while it grows.
#[derive(Debug)]
struct Growing {
    histogram: Histogram<u64>,
    sum_ns: u64,
    min_ns: u64,
    max_ns: u64,
    over_range: u64,
}

impl Growing {
    fn new(digits: u8) -> Growing {
        let histogram = Histogram::new_with_bounds(1, HIGHEST.as_nanos() as u64, digits)
            .expect("the bounds and digits are constants that HdrHistogram accepts");
        Growing { histogram, sum_ns: 0, min_ns: u64::MAX, max_ns: 0, over_range: 0 }
    }

    fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns);
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
        self.over_range += u64::from(ns > HIGHEST.as_nanos() as u64);
    }

    fn add(&mut self, other: &Growing) {
        self.histogram.add(&other.histogram).expect("all histograms have the same bounds");
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.over_range += other.over_range;
    }

    fn distribution(&self) -> Distribution {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.histogram, &mut bytes)
            .expect("a Vec takes every write and the counts fit the format");
        let count = self.histogram.len();
        Distribution {
            count,
            sum_ns: self.sum_ns,
            min_ns: if count == 0 { 0 } else { self.min_ns },
            max_ns: self.max_ns,
            over_range: self.over_range,
            hdr: BASE64_STANDARD.encode(bytes),
        }
    }
}

/// Takes the samples of the connections of one worker thread. Clones share their memory.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Recording>>);

#[derive(Debug, Default)]
struct Recording {
    series: BTreeMap<Series, Growing>,
    /// Where the first slice begins, and how long each is.
    slicing: Option<(Instant, Duration)>,
    slices: Vec<Growing>,
}

impl Recorder {
    /// Keeps what [`record_at`](Self::record_at) gives also in slices of this length from `start` on.
    pub fn slice(&self, start: Instant, length: Duration) {
        self.lock().slicing = Some((start, length));
    }

    /// Adds one sample.
    pub fn record(&self, series: Series, duration: Duration) {
        self.lock().record(series, duration.as_nanos() as u64);
    }

    /// Adds one sample of the latency that a workload is about, of what began at `instant`.
    pub fn record_at(&self, series: Series, instant: Instant, duration: Duration) {
        let mut recording = self.lock();
        let ns = duration.as_nanos() as u64;
        recording.record(series, ns);
        if let Some((start, length)) = recording.slicing {
            let place = instant.saturating_duration_since(start).as_nanos() / length.as_nanos();
            let place = (place as usize).min(MAX_SLICES - 1);
            if recording.slices.len() <= place {
                recording.slices.resize_with(place + 1, || Growing::new(SLICE_DIGITS));
            }
            recording.slices[place].record(ns);
        }
    }

    /// The distributions of several recorders, merged.
    pub fn merge(recorders: &[Recorder]) -> BTreeMap<Series, Distribution> {
        let mut merged: BTreeMap<Series, Growing> = BTreeMap::new();
        for recorder in recorders {
            for (series, growing) in &recorder.lock().series {
                merged.entry(*series).or_insert_with(|| Growing::new(SIGNIFICANT_DIGITS)).add(growing);
            }
        }
        merged.iter().map(|(series, growing)| (*series, growing.distribution())).collect()
    }

    /// The slices of several recorders, merged; none where they keep none.
    pub fn merge_slices(recorders: &[Recorder]) -> Vec<Distribution> {
        let mut merged: Vec<Growing> = Vec::new();
        for recorder in recorders {
            let recording = recorder.lock();
            merged.resize_with(merged.len().max(recording.slices.len()), || Growing::new(SLICE_DIGITS));
            merged.iter_mut().zip(&recording.slices).for_each(|(all, own)| all.add(own));
        }
        merged.iter().map(Growing::distribution).collect()
    }

    // A panic elsewhere while recording leaves whole samples behind, and is counted on its own.
    fn lock(&self) -> std::sync::MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording {
    fn record(&mut self, series: Series, ns: u64) {
        self.series.entry(series).or_insert_with(|| Growing::new(SIGNIFICANT_DIGITS)).record(ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantile(series: &Distribution, q: f64) -> Option<u64> {
        series.quantile_of_ns(&series.histogram().unwrap(), q)
    }

    #[test]
    fn distributions_survive_the_wire_and_merge() {
        let (left, right) = (Recorder::default(), Recorder::default());
        for microseconds in 1..=1000 {
            let recorder = if microseconds % 2 == 0 { &left } else { &right };
            recorder.record(Series::RoundTrip, Duration::from_micros(microseconds));
        }
        let merged = Recorder::merge(&[left, right]);
        let json = serde_json::to_string(&merged).unwrap();
        let back: BTreeMap<Series, Distribution> = serde_json::from_str(&json).unwrap();
        let series = &back[&Series::RoundTrip];
        assert_eq!((series.count, series.min_ns, series.max_ns), (1000, 1_000, 1_000_000));
        assert_eq!(series.sum_ns, 500_500_000);
        let median = quantile(series, 0.5).unwrap();
        assert!((499_000..=501_000).contains(&median), "{median}");
    }

    #[test]
    fn slices_follow_the_instants_and_merge() {
        let (left, right) = (Recorder::default(), Recorder::default());
        let start = Instant::now();
        let ms = Duration::from_millis;
        for recorder in [&left, &right] {
            recorder.slice(start, ms(10));
        }
        left.record_at(Series::RoundTrip, start, ms(1));
        left.record_at(Series::RoundTrip, start + ms(25), ms(3));
        right.record_at(Series::RoundTrip, start + ms(29), ms(5));
        // What began before the window belongs to its first slice.
        right.record_at(Series::RoundTrip, start.checked_sub(ms(1)).unwrap_or(start), ms(2));
        let recorders = [left, right];
        let slices = Recorder::merge_slices(&recorders);
        assert_eq!(slices.iter().map(|slice| slice.count).collect::<Vec<_>>(), [2, 0, 2]);
        assert_eq!((slices[2].min_ns, slices[2].max_ns), (3_000_000, 5_000_000));
        assert_eq!(Recorder::merge(&recorders)[&Series::RoundTrip].count, 4);
        assert!(Recorder::merge_slices(&[Recorder::default()]).is_empty());
    }

    #[test]
    fn answers_after_minutes_are_figures_and_those_beyond_the_range_are_counted() {
        let recorder = Recorder::default();
        for n in 1..=1_000 {
            recorder.record(Series::FromIntended, Duration::from_millis(90 * n));
        }
        let series = &Recorder::merge(std::slice::from_ref(&recorder))[&Series::FromIntended];
        let p90 = quantile(series, 0.9).unwrap();
        assert!(p90.abs_diff(81_000_000_000) < 100_000_000, "{p90}");
        for _ in 0..200 {
            recorder.record(Series::FromIntended, 2 * HIGHEST);
        }
        let series = &Recorder::merge(&[recorder])[&Series::FromIntended];
        assert_eq!((series.count, series.over_range), (1_200, 200));
        assert!(quantile(series, 0.5).is_some());
        assert_eq!(quantile(series, 0.9), None);
    }

    #[test]
    fn a_percentile_needs_its_samples() {
        let recorder = Recorder::default();
        for _ in 0..999 {
            recorder.record(Series::RoundTrip, Duration::from_micros(5));
        }
        let merged = Recorder::merge(std::slice::from_ref(&recorder));
        assert_eq!(quantile(&merged[&Series::RoundTrip], 0.99), None);
        recorder.record(Series::RoundTrip, Duration::from_micros(5));
        let series = &Recorder::merge(&[recorder])[&Series::RoundTrip];
        assert!(quantile(series, 0.99).is_some());
        assert_eq!(quantile(series, 0.999), None);
    }

    #[test]
    fn a_histogram_that_does_not_hold_its_count_is_refused() {
        let recorder = Recorder::default();
        recorder.record(Series::PushLag, Duration::from_millis(1));
        let mut series = Recorder::merge(&[recorder])[&Series::PushLag].clone();
        series.count = 2;
        assert!(series.histogram().unwrap_err().to_string().contains("1 samples where 2"));
        series.hdr = "not base64!".into();
        assert!(series.histogram().is_err());
    }
}
