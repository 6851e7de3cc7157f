//! Counters, gauges and histograms as atomics: any thread adds, the ops thread reads, nobody waits.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds in seconds of every histogram's buckets, from 100 µs to 30 s.
pub const BUCKETS_S: [f64; 14] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0,
];

/// Series one registry holds; a series beyond it counts but is not shown.
const SERIES_MAX: usize = 512;

#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

#[derive(Clone, Default)]
pub struct Histogram(Arc<HistogramCells>);

#[derive(Default)]
struct HistogramCells {
    buckets: [AtomicU64; BUCKETS_S.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

/// Clones share the same series. Labels are fixed when a series is made.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Series>>>);

struct Series {
    name: &'static str,
    help: &'static str,
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Counter {
    pub fn inc(&self) {
        self.add(1);
    }
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    pub fn set(&self, to: i64) {
        self.0.store(to, Ordering::Relaxed);
    }
    pub fn add(&self, by: i64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let us = took.as_micros() as u64;
        let seconds = took.as_secs_f64();
        if let Some(at) = BUCKETS_S.iter().position(|bound| seconds <= *bound) {
            self.0.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.sum_us.fetch_add(us, Ordering::Relaxed);
        self.0.max_us.fetch_max(us, Ordering::Relaxed);
    }
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }
    /// The longest observed since the start.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max_us.load(Ordering::Relaxed))
    }
}

impl Registry {
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        match self.series(name, help, labels, || Value::Counter(Counter::default())) {
            Value::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Gauge {
        match self.series(name, help, labels, || Value::Gauge(Gauge::default())) {
            Value::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// In seconds.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Histogram {
        match self.series(
            name,
            help,
            labels,
            || Value::Histogram(Histogram::default()),
        ) {
            Value::Histogram(histogram) => histogram,
            _ => Histogram::default(),
        }
    }

    fn series(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        make: impl FnOnce() -> Value,
    ) -> Value {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |series: &&Series| {
            series.name == name
                && series
                    .labels
                    .iter()
                    .map(|(key, value)| (*key, value.as_str()))
                    .eq(labels.iter().copied())
        };
        if let Some(known) = all.iter().find(same) {
            return known.value.clone();
        }
        let value = make();
        if all.len() < SERIES_MAX {
            all.push(Series {
                name,
                help,
                labels: labels
                    .iter()
                    .map(|(key, value)| (*key, (*value).to_string()))
                    .collect(),
                value: value.clone(),
            });
        }
        value
    }

    /// Each series by its name with labels, and its value; a histogram by count, sum and maximum.
    pub fn values(&self) -> Vec<(String, f64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values = Vec::new();
        for series in all.iter() {
            let name = |suffix| series.full_name(suffix, None);
            match &series.value {
                Value::Counter(counter) => values.push((name(""), counter.get() as f64)),
                Value::Gauge(gauge) => values.push((name(""), gauge.get() as f64)),
                Value::Histogram(histogram) => {
                    let sum_s = histogram.0.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
                    values.push((name("_count"), histogram.count() as f64));
                    values.push((name("_sum"), sum_s));
                    values.push((name("_max"), histogram.max().as_secs_f64()));
                }
            }
        }
        values
    }

    /// Prometheus text format 0.0.4; series of one name stand together under one HELP and TYPE.
    pub fn render(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut done: Vec<&str> = Vec::new();
        for first in all.iter() {
            if done.contains(&first.name) {
                continue;
            }
            done.push(first.name);
            let kind = match first.value {
                Value::Counter(_) => "counter",
                Value::Gauge(_) => "gauge",
                Value::Histogram(_) => "histogram",
            };
            let _ = writeln!(text, "# HELP {} {}", first.name, first.help);
            let _ = writeln!(text, "# TYPE {} {kind}", first.name);
            for series in all.iter().filter(|series| series.name == first.name) {
                series.render(&mut text);
            }
        }
        text
    }
}

impl Series {
    fn render(&self, text: &mut String) {
        match &self.value {
            Value::Counter(counter) => self.line(text, "", None, counter.get() as f64),
            Value::Gauge(gauge) => self.line(text, "", None, gauge.get() as f64),
            Value::Histogram(histogram) => {
                let mut below = 0;
                for (bound, bucket) in BUCKETS_S.iter().zip(&histogram.0.buckets) {
                    below += bucket.load(Ordering::Relaxed);
                    self.line(text, "_bucket", Some(&bound.to_string()), below as f64);
                }
                let count = histogram.count().max(below) as f64;
                self.line(text, "_bucket", Some("+Inf"), count);
                let sum_s = histogram.0.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
                self.line(text, "_sum", None, sum_s);
                self.line(text, "_count", None, count);
            }
        }
    }

    fn line(&self, text: &mut String, suffix: &str, le: Option<&str>, value: f64) {
        let _ = writeln!(text, "{} {value}", self.full_name(suffix, le));
    }

    fn full_name(&self, suffix: &str, le: Option<&str>) -> String {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .chain(le.map(|bound| ("le", bound)))
            .map(|(key, value)| {
                let value = value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n");
                format!("{key}=\"{value}\"")
            })
            .collect();
        match labels.as_slice() {
            [] => format!("{}{suffix}", self.name),
            labels => format!("{}{suffix}{{{}}}", self.name, labels.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_renders_cumulative_buckets_that_end_in_its_count() {
        let registry = Registry::default();
        let histogram =
            registry.histogram("stage_seconds", "Time of a stage.", &[("stage", "stt")]);
        histogram.observe(Duration::from_micros(200));
        histogram.observe(Duration::from_secs(60));
        let text = registry.render();
        assert!(
            text.contains("stage_seconds_bucket{stage=\"stt\",le=\"0.0005\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("stage_seconds_bucket{stage=\"stt\",le=\"30\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("stage_seconds_bucket{stage=\"stt\",le=\"+Inf\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("stage_seconds_count{stage=\"stt\"} 2\n"),
            "{text}"
        );
    }

    #[test]
    fn asking_twice_for_a_series_gives_the_same_series() {
        let registry = Registry::default();
        registry
            .counter("turns", "Turns.", &[("result", "ok")])
            .inc();
        registry
            .counter("turns", "Turns.", &[("result", "ok")])
            .inc();
        registry
            .counter("turns", "Turns.", &[("result", "error")])
            .inc();
        let text = registry.render();
        assert!(text.contains("turns{result=\"ok\"} 2\n"), "{text}");
        assert_eq!(text.matches("# TYPE turns counter").count(), 1, "{text}");
    }
}
