//! The result, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::cpu::Used;
use super::histogram::Histogram;
use super::tally::Window;

/// What a measurement gave.
#[derive(Debug, Default)]
pub struct Report {
    /// What was measured: names and values.
    pub settings: Vec<(&'static str, String)>,
    /// How long, in seconds.
    pub seconds: f64,
    /// Latencies, by kind.
    pub parts: Vec<Part>,
    /// The series, and the width of its windows.
    pub windows: Vec<Window>,
    /// Width of a window of the series.
    pub window_ms: u64,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u64>,
    /// Processor time, from the first request to the last answer.
    pub cpu: Option<Used>,
    /// With a rate: how many operations were due and could not even be sent.
    pub unsent: Option<u64>,
}

/// One kind of operation.
#[derive(Debug)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Its latencies, nanoseconds.
    pub latencies: Histogram,
    /// How many per second; none if a rate has no meaning for it.
    pub per_second: Option<f64>,
}

impl Report {
    /// A table.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.settings {
            line(&mut out, format_args!("{name:<12} {value}"));
        }
        line(&mut out, format_args!("{:<12} {:.3}", "seconds", self.seconds));
        if let Some(Used {
            own_cores,
            servers_cores,
        }) = self.cpu
        {
            let servers = servers_cores.map_or("not seen".to_owned(), |cores| format!("{cores:.2} cores"));
            line(
                &mut out,
                format_args!("{:<12} this {own_cores:.2} cores, servers {servers}", "cpu"),
            );
        }
        if let Some(unsent) = self.unsent {
            line(&mut out, format_args!("{:<12} {unsent}", "due, unsent"));
        }
        let names = ["", "count", "per s", "mean us"];
        let header = names
            .iter()
            .copied()
            .chain(PERCENTILES.iter().map(|&(_, label, _)| label));
        let header: String = header.map(|name| format!("{name:>12}")).collect();
        line(&mut out, format_args!("{header}{:>12}", "max us"));
        self.parts
            .iter()
            .for_each(|part| line(&mut out, format_args!("{}", part.to_text())));
        for (number, window) in self.windows.iter().enumerate() {
            let begin_s = number as f64 * self.window_ms as f64 / 1e3;
            let (p99_us, max_us) = (us(window.p99_ns), us(window.max_ns));
            let operations = window.operations;
            line(
                &mut out,
                format_args!("at {begin_s:>8.3} s {operations:>9}, p99 {p99_us} us, max {max_us} us"),
            );
        }
        for (what, count) in &self.errors {
            line(&mut out, format_args!("error: {what}: {count}"));
        }
        out
    }

    /// One JSON object on one line.
    pub fn to_json(&self) -> String {
        let settings = self
            .settings
            .iter()
            .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)));
        let parts = self
            .parts
            .iter()
            .map(|part| format!("{}:{}", quoted(part.name), part.to_json()));
        let windows = self.windows.iter().map(|window| {
            let Window {
                operations,
                p99_ns,
                max_ns,
            } = *window;
            format!(
                "{{\"operations\":{operations},\"p99_us\":{},\"max_us\":{}}}",
                us(p99_ns),
                us(max_ns)
            )
        });
        let errors = self
            .errors
            .iter()
            .map(|(what, count)| format!("{}:{count}", quoted(what)));
        format!(
            "{{\"settings\":{{{}}},\"seconds\":{:.6},\"parts\":{{{}}},\"window_ms\":{},\"windows\":[{}],\"errors\":{{{}}},\"cpu\":{},\"unsent\":{}}}",
            joined(settings),
            self.seconds,
            joined(parts),
            self.window_ms,
            joined(windows),
            joined(errors),
            self.cpu.map_or("null".to_owned(), cpu_to_json),
            self.unsent.map_or("null".to_owned(), |count| count.to_string()),
        )
    }
}

fn cpu_to_json(used: Used) -> String {
    let servers = used
        .servers_cores
        .map_or("null".to_owned(), |cores| format!("{cores:.3}"));
    format!(
        "{{\"own_cores\":{:.3},\"servers_cores\":{servers}}}",
        used.own_cores
    )
}

impl Part {
    fn to_text(&self) -> String {
        let rate = self
            .per_second
            .map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        let mut out = format!("{:>12}{:>12}{rate:>12}", self.name, self.latencies.total());
        let mean = format!("{:.1}", self.latencies.mean() / 1e3);
        let percentiles = PERCENTILES
            .iter()
            .map(|&(percent, _, _)| us(self.latencies.percentile(percent)));
        for value in [mean]
            .into_iter()
            .chain(percentiles)
            .chain([us(self.latencies.max())])
        {
            let _infallible = write!(out, "{value:>12}");
        }
        out
    }

    fn to_json(&self) -> String {
        let percentiles = PERCENTILES
            .iter()
            .map(|&(percent, _, name)| format!("\"{name}\":{}", us(self.latencies.percentile(percent))));
        format!(
            "{{\"count\":{},\"per_s\":{},\"mean_us\":{:.1},{},\"max_us\":{}}}",
            self.latencies.total(),
            self.per_second
                .map_or("null".to_owned(), |rate| format!("{rate:.1}")),
            self.latencies.mean() / 1e3,
            joined(percentiles),
            us(self.latencies.max()),
        )
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(out, "{text}");
}

fn us(ns: u64) -> String {
    format!("{}.{}", ns / 1_000, ns % 1_000 / 100)
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

/// A JSON string. What is printed has no control characters but those of an operating system's messages.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Which percentiles are told: value, heading, JSON name.
const PERCENTILES: [(f64, &str, &str); 4] = [
    (50.0, "p50 us", "p50_us"),
    (90.0, "p90 us", "p90_us"),
    (99.0, "p99 us", "p99_us"),
    (99.9, "p99.9 us", "p999_us"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut latencies = Histogram::default();
        (1..=100).for_each(|value| latencies.record(value * 1_000));
        Report {
            settings: vec![("op", "get \"x\"".to_owned())],
            seconds: 2.0,
            parts: vec![Part {
                name: "reads",
                latencies,
                per_second: Some(50.0),
            }],
            windows: vec![Window {
                operations: 100,
                p99_ns: 99_000,
                max_ns: 100_000,
            }],
            window_ms: 500,
            errors: BTreeMap::from([("lost".to_owned(), 3)]),
            cpu: Some(Used {
                own_cores: 0.25,
                servers_cores: Some(1.5),
            }),
            unsent: Some(7),
        }
    }

    #[test]
    fn the_json_is_what_programs_expect() {
        assert_eq!(
            report().to_json(),
            "{\"settings\":{\"op\":\"get \\\"x\\\"\"},\"seconds\":2.000000,\"parts\":{\"reads\":{\"count\":100,\
             \"per_s\":50.0,\"mean_us\":50.5,\"p50_us\":50.1,\"p90_us\":90.1,\"p99_us\":99.3,\"p999_us\":100.0,\
             \"max_us\":100.0}},\"window_ms\":500,\"windows\":[{\"operations\":100,\"p99_us\":99.0,\
             \"max_us\":100.0}],\"errors\":{\"lost\":3},\"cpu\":{\"own_cores\":0.250,\"servers_cores\":1.500},\
             \"unsent\":7}"
        );
    }

    #[test]
    fn the_table_has_a_line_for_everything() {
        let text = report().to_text();
        for part in [
            "op           get",
            "seconds      2.000",
            "cpu          this 0.25 cores, servers 1.50 cores",
            "due, unsent  7",
            "p99.9 us",
            "reads         100",
            "at    0.000 s       100",
            "error: lost: 3",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
