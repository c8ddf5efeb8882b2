//! One family of numbers after the other, through the library that knows how they are spelled.

use std::fmt::Result;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::histogram::Histogram;

/// A label and its value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// What the families are written to.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

/// A family whose values only grow.
pub(super) struct Counters<'a>(MetricEncoder<'a>);
/// A family of values at this moment.
pub(super) struct Gauges<'a>(MetricEncoder<'a>);
/// A family of durations.
pub(super) struct Histograms<'a>(MetricEncoder<'a>);

impl Writer<'_> {
    /// A counter; the library appends `_total`, and the unit in front of it.
    pub(super) fn counter<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
    ) -> std::result::Result<Counters<'s>, std::fmt::Error> {
        self.family(name, help, unit, MetricType::Counter)
            .map(Counters)
    }

    /// A gauge; the library appends the unit.
    pub(super) fn gauge<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
    ) -> std::result::Result<Gauges<'s>, std::fmt::Error> {
        self.family(name, help, unit, MetricType::Gauge).map(Gauges)
    }

    /// Durations; the library appends `_seconds`.
    pub(super) fn histogram<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
    ) -> std::result::Result<Histograms<'s>, std::fmt::Error> {
        self.family(name, help, Some(&Unit::Seconds), MetricType::Histogram)
            .map(Histograms)
    }

    /// A constant, whose labels are what there is to say.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[Label<'_>]) -> Result {
        self.family(name, help, None, MetricType::Info)?
            .encode_info(&labels)
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> std::result::Result<MetricEncoder<'s>, std::fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }
}

impl Counters<'_> {
    pub(super) fn add(&mut self, labels: &[Label<'_>], value: impl EncodeCounterValue) -> Result {
        let none = None::<&prometheus_client::metrics::exemplar::Exemplar<NoLabelSet, f64>>;
        if labels.is_empty() {
            return self.0.encode_counter(&value, none);
        }
        self.0.encode_family(&labels)?.encode_counter(&value, none)
    }
}

impl Gauges<'_> {
    pub(super) fn add(&mut self, labels: &[Label<'_>], value: impl EncodeGaugeValue) -> Result {
        if labels.is_empty() {
            return self.0.encode_gauge(&value);
        }
        self.0.encode_family(&labels)?.encode_gauge(&value)
    }
}

impl Histograms<'_> {
    pub(super) fn add(&mut self, labels: &[Label<'_>], all: &Histogram) -> Result {
        let seconds = |micros: u64| micros as f64 / 1e6;
        let classes = all.classes().map(|(bound, count)| {
            let bound = bound.map_or(f64::INFINITY, seconds);
            (bound, count)
        });
        let classes: Vec<_> = classes.collect();
        let (sum, count) = (seconds(all.sum_us()), all.count());
        let mut one = self.0.encode_family(&labels)?;
        one.encode_histogram::<NoLabelSet>(sum, count, &classes, None)
    }
}
