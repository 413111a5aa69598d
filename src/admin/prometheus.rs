//! Figures in Prometheus' text format 0.0.4, under the names of Java's exporter; what Java does not have is
//! called `oxkeeper_...`. (PrometheusMetricsProvider)

use std::fmt::{Display, Write};

use crate::request::metrics::Summary;
use crate::runtime::Now;
use crate::runtime::meter::Reading;

use super::history::Window;
use super::http::{Asked, Page, Site};
use super::monitor;
use super::sources::Sources;

/// The site of the metrics: `/metrics`, and nothing else.
pub struct MetricsSite {
    sources: Sources,
    window: Window,
}

impl MetricsSite {
    /// A site that tells what `sources` tell.
    pub fn new(sources: Sources) -> MetricsSite {
        let window = Window::default();
        MetricsSite { sources, window }
    }
}

impl Site for MetricsSite {
    fn answer(&mut self, now: Now, asked: &Asked) -> Page {
        match asked.path.as_str() {
            "/metrics" | "/metrics/" => Page {
                status: 200,
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                body: text(&self.sources, &self.window, now).into_bytes(),
            },
            _ => Page::text(404, "the metrics are at /metrics\n"),
        }
    }

    fn tick(&mut self, now: Now) -> i64 {
        self.window.look(now, &self.sources.status.metrics)
    }
}

/// All figures.
pub(super) fn text(sources: &Sources, window: &Window, now: Now) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let figures = monitor::figures(sources);
    for gauge in monitor::gauges(sources, figures.as_ref(), now.elapsed_ms) {
        head(&mut out, gauge.name, gauge.help, "gauge");
        line(&mut out, gauge.name, "", &gauge.value);
    }
    let metrics = &sources.status.metrics;
    for (name, help, value) in metrics.counters.each() {
        head(&mut out, name, help, "counter");
        line(&mut out, name, "", &value);
    }
    for (summary, recent) in window.summaries(metrics) {
        write_summary(&mut out, &summary, &recent);
    }
    write_role(&mut out, sources);
    write_stages(&mut out, sources);
    write_operations(&mut out, sources);
    out
}

/// Quantiles of the last minutes; count and sum since the start.
fn write_summary(out: &mut String, summary: &Summary, recent: &Reading) {
    head(out, summary.name, summary.help, "summary");
    for (part, label) in QUANTILES {
        let value = recent
            .quantile(part)
            .map_or(f64::NAN, |value| value as f64 * summary.scale);
        line(
            out,
            summary.name,
            &format!("{{quantile=\"{label}\"}}"),
            &Float(value),
        );
    }
    let sum = summary.reading.sum() as f64 * summary.scale;
    line(
        out,
        &format!("{}_count", summary.name),
        "",
        &summary.reading.total(),
    );
    line(out, &format!("{}_sum", summary.name), "", &Float(sum));
}

fn write_role(out: &mut String, sources: &Sources) {
    let name = "oxkeeper_info";
    head(out, name, "Version and role of this server", "gauge");
    let version = env!("CARGO_PKG_VERSION");
    let serving = sources.gate.serving();
    let role = match &serving {
        Some(serving) => serving.state.name(),
        None => sources.status.roles.present().duty.name(),
    };
    line(
        out,
        name,
        &format!("{{version=\"{version}\",role=\"{role}\"}}"),
        &1,
    );
    head(out, "oxkeeper_serving", "Whether clients are served", "gauge");
    line(out, "oxkeeper_serving", "", &u8::from(serving.is_some()));
    if let Some(serving) = serving {
        let zxid = serving.database.applied();
        head(out, "oxkeeper_epoch", "Epoch of the last change applied", "gauge");
        line(out, "oxkeeper_epoch", "", &zxid.epoch().0);
        head(
            out,
            "oxkeeper_epoch_change",
            "Number of the last change applied within its epoch",
            "gauge",
        );
        line(out, "oxkeeper_epoch_change", "", &zxid.counter());
    }
}

fn write_stages(out: &mut String, sources: &Sources) {
    let stages = sources.status.metrics.stages.each();
    let label = |stage: &str| format!("stage=\"{stage}\"");
    let name = "oxkeeper_stage_queue_depth";
    head(out, name, "Batches that wait for a thread", "gauge");
    for (stage, meter) in &stages {
        line(out, name, &format!("{{{}}}", label(stage)), &meter.depth());
    }
    let name = "oxkeeper_stage_batches_total";
    head(out, name, "Batches given to a thread", "counter");
    for (stage, meter) in &stages {
        line(out, name, &format!("{{{}}}", label(stage)), &meter.posted());
    }
    let name = "oxkeeper_stage_wait_seconds";
    head(
        out,
        name,
        "How long batches wait for a thread, sampled",
        "histogram",
    );
    for (stage, meter) in &stages {
        write_histogram(out, name, &label(stage), &meter.wait.read());
    }
    let name = "oxkeeper_stage_work_seconds";
    head(out, name, "How long a thread takes for a batch", "histogram");
    for (stage, meter) in &stages {
        write_histogram(out, name, &label(stage), &meter.work.read());
    }
}

fn write_operations(out: &mut String, sources: &Sources) {
    let name = "oxkeeper_request_seconds";
    head(
        out,
        name,
        "From reading a request to writing its answer, by operation",
        "histogram",
    );
    for (operation, reading) in sources.status.metrics.operations() {
        write_histogram(
            out,
            name,
            &format!("operation=\"{}\"", operation.label()),
            &reading,
        );
    }
}

/// Buckets of microseconds, told in seconds. Their edges are powers of two, where the counts are exact.
fn write_histogram(out: &mut String, name: &str, label: &str, reading: &Reading) {
    let bucket = format!("{name}_bucket");
    for power in EDGE_POWERS {
        let edge_us = 1_u64 << power;
        let edge = edge_us as f64 / 1e6;
        line(
            out,
            &bucket,
            &format!("{{{label},le=\"{edge}\"}}"),
            &reading.below(edge_us),
        );
    }
    let total = reading.total();
    line(out, &bucket, &format!("{{{label},le=\"+Inf\"}}"), &total);
    line(out, &format!("{name}_count"), &format!("{{{label}}}"), &total);
    let sum = reading.sum() as f64 / 1e6;
    line(out, &format!("{name}_sum"), &format!("{{{label}}}"), &Float(sum));
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a String cannot fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(out: &mut String, name: &str, labels: &str, value: &dyn Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{name}{labels} {value}");
}

/// A number as Prometheus reads it.
struct Float(f64);

impl Display for Float {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_nan() {
            return f.write_str("NaN");
        }
        write!(f, "{}", (self.0 * 1e6).round() / 1e6)
    }
}

const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99")];
/// 64 microseconds to 67 seconds.
const EDGE_POWERS: std::ops::RangeInclusive<u32> = 6..=26;
