"""Distributions of durations: HdrHistogram with three significant digits from 1 ns to 1 h."""

HIGHEST_NS = 3600 * 10**9
_DIGITS = 3
# HdrHistogram keeps the leading bits that tell 2 x 10^3 values apart.
_KEPT_BITS = 11


class Series:
    """One series while it grows.

    `HdrHistogram.record_value` takes longer than the rest of a round trip's accounting together. What is recorded
    here is counted under the lowest value of its bucket, and put into the histogram when the connections are closed.
    """

    __slots__ = ("buckets", "max_ns", "min_ns", "over_range", "sum_ns")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.sum_ns = 0
        self.min_ns = 1 << 63
        self.max_ns = 0
        self.over_range = 0

    def record(self, ns: int) -> None:
        self.sum_ns += ns
        if ns < self.min_ns:
            self.min_ns = ns
        if ns > self.max_ns:
            self.max_ns = ns
        if ns > HIGHEST_NS:
            self.over_range += 1
            ns = HIGHEST_NS
        shift = ns.bit_length() - _KEPT_BITS
        if shift > 0:
            ns = ns >> shift << shift
        self.buckets[ns] = self.buckets.get(ns, 0) + 1

    def to_json(self) -> dict[str, object]:
        # Only here: a server has no use for it, and its memory is measured.
        from hdrh.histogram import HdrHistogram

        histogram = HdrHistogram(1, HIGHEST_NS, _DIGITS)
        for value, count in self.buckets.items():
            histogram.record_value(value, count)
        count = sum(self.buckets.values())
        return {
            "count": count,
            "sum_ns": self.sum_ns,
            "min_ns": self.min_ns if count else 0,
            "max_ns": self.max_ns,
            "over_range": self.over_range,
            "hdr": histogram.encode().decode(),
        }


class Recorder:
    """The series of all connections of a client."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}

    def record(self, name: str, ns: int) -> None:
        series = self.series.get(name)
        if series is None:
            series = self.series[name] = Series()
        series.record(ns)

    def to_json(self) -> dict[str, dict[str, object]]:
        return {name: series.to_json() for name, series in self.series.items()}
