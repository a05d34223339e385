//! The Prometheus recorder, its `/metrics` page, and figures of the process.
//!
//! Histograms are true Prometheus histograms, so that they add up over PoPs;
//! every one has [`SECONDS`] unless the binary names other buckets. The
//! process's own figures keep the names that every Prometheus client library
//! gives them (`process_…`), since common dashboards look for those.

use std::{fs, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics::{Unit, describe_counter, describe_gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, UtcTime};

/// Buckets of spans, in seconds, from a worker's turn to a slow handshake.
pub const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Buckets of round-trip times between presenters and us, in seconds.
pub const RTT_SECONDS: &[f64] = &[
    0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5,
];

/// Buckets of how long sessions last, in seconds.
pub const LIFETIME_SECONDS: &[f64] = &[
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0,
];

/// How often samples move from their queues into the histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// Ticks per second in `/proc/self/stat`; `USER_HZ` is 100 on every Linux.
const USER_HZ: f64 = 100.0;

/// The recorder of this process.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
    started: UtcTime,
}

/// Installs the recorder of this process; call it before any metric is made.
///
/// `program` is the prefix of every name (`inlet_edge`), `buckets` those of
/// histograms, by full name, that [`SECONDS`] does not fit.
///
/// # Errors
///
/// When the process has a recorder already.
pub fn install(
    program: &'static str,
    version: &'static str,
    buckets: &[(&str, &[f64])],
) -> Result<Metrics, Error> {
    let mut builder = PrometheusBuilder::new().set_buckets(SECONDS)?;
    for (name, bounds) in buckets {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)?;
    }
    let metrics = Metrics {
        handle: builder.install_recorder()?,
        started: clock::utc(),
    };
    describe(program);
    metrics::gauge!(format!("{program}_build_info"), "version" => version).set(1.0);
    Ok(metrics)
}

fn describe(program: &'static str) {
    describe_gauge!(
        format!("{program}_build_info"),
        "always 1; the label tells the version"
    );
    describe_gauge!(
        "process_start_time_seconds",
        Unit::Seconds,
        "when the process began, since the Unix epoch"
    );
    describe_gauge!(
        "process_uptime_seconds",
        Unit::Seconds,
        "how long the process has been running"
    );
    describe_gauge!(
        "process_resident_memory_bytes",
        Unit::Bytes,
        "memory that is in RAM"
    );
    describe_gauge!("process_open_fds", "open file descriptors");
    describe_gauge!("process_max_fds", "most file descriptors it may open");
    describe_gauge!("process_threads", "threads");
    describe_counter!(
        "process_cpu_seconds_total",
        Unit::Seconds,
        "CPU time in user and system mode"
    );
}

impl Metrics {
    /// Serves `/metrics`; belongs on a listener of its own.
    pub fn router(&self) -> Router {
        let metrics = self.clone();
        Router::new().route(
            "/metrics",
            get(move || std::future::ready(metrics.respond())),
        )
    }

    /// The page as Prometheus reads it, with fresh figures of the process.
    pub fn render(&self) -> String {
        let now = clock::utc();
        metrics::gauge!("process_start_time_seconds").set(seconds(self.started.as_unix_micros()));
        metrics::gauge!("process_uptime_seconds").set(seconds(now.micros_since(self.started)));
        Process::read().publish();
        self.handle.render()
    }

    /// Keeps the recorder's memory small until cancelled.
    pub async fn upkeep(self, cancelled: CancellationToken) {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                _ = tick.tick() => self.handle.run_upkeep(),
            }
        }
    }

    fn respond(&self) -> Response {
        const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");
        ([(header::CONTENT_TYPE, TEXT)], self.render()).into_response()
    }
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// What `/proc` says of this process; `None` where it says nothing.
#[derive(Debug, Default, PartialEq)]
struct Process {
    resident_bytes: Option<f64>,
    threads: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
    cpu_seconds: Option<f64>,
}

impl Process {
    fn read() -> Self {
        let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        let mut process = Self {
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|entries| entries.count() as f64),
            ..Self::default()
        };
        process.parse_status(&text("status").unwrap_or_default());
        process.parse_limits(&text("limits").unwrap_or_default());
        process.parse_stat(&text("stat").unwrap_or_default());
        process
    }

    fn parse_status(&mut self, text: &str) {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        self.resident_bytes = field("VmRSS:").map(|kib| kib * 1024.0);
        self.threads = field("Threads:");
    }

    fn parse_limits(&mut self, text: &str) {
        let limit = text.lines().find_map(|l| l.strip_prefix("Max open files"));
        let soft = limit.and_then(|rest| rest.split_whitespace().next());
        self.max_fds = soft.and_then(|soft| soft.parse().ok());
    }

    fn parse_stat(&mut self, text: &str) {
        // The command's name stands in parentheses and may contain blanks.
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut times = fields.split_whitespace().skip(11).map(str::parse::<f64>);
        if let (Some(Ok(user)), Some(Ok(system))) = (times.next(), times.next()) {
            self.cpu_seconds = Some((user + system) / USER_HZ);
        }
    }

    fn publish(&self) {
        let gauges = [
            ("process_resident_memory_bytes", self.resident_bytes),
            ("process_threads", self.threads),
            ("process_open_fds", self.open_fds),
            ("process_max_fds", self.max_fds),
        ];
        for (name, value) in gauges {
            if let Some(value) = value {
                metrics::gauge!(name).set(value);
            }
        }
        if let Some(cpu) = self.cpu_seconds {
            // Whole seconds: counters of this facade are integers.
            metrics::counter!("process_cpu_seconds_total").absolute(cpu as u64);
        }
    }
}

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the metrics recorder")]
pub struct Error(#[from] BuildError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_tells_of_this_process() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 100_000.0);
        assert!(process.open_fds.unwrap() >= 3.0);
        assert!(process.max_fds.unwrap() >= process.open_fds.unwrap());
        assert!(process.threads.unwrap() >= 1.0);
        assert!(process.cpu_seconds.is_some());
    }

    #[test]
    fn a_command_name_with_blanks_is_passed_over() {
        let mut process = Process::default();
        process.parse_stat("7 (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1");
        assert_eq!(process.cpu_seconds, Some(3.0));
    }

    #[test]
    fn junk_is_no_figure() {
        let mut process = Process::default();
        process.parse_stat("junk");
        process.parse_status("VmRSS: many\n");
        process.parse_limits("Max open files unlimited");
        assert_eq!(process, Process::default());
    }

    #[test]
    fn histograms_have_buckets_and_the_page_tells_of_the_build() {
        let metrics = install(
            "inlet_test",
            "1.2.3",
            &[("inlet_test_rtt_seconds", RTT_SECONDS)],
        )
        .unwrap();
        metrics::histogram!("inlet_test_rtt_seconds").record(0.03);
        metrics::histogram!("inlet_test_turn_seconds").record(0.03);
        let page = metrics.render();
        for line in [
            "inlet_test_build_info{version=\"1.2.3\"} 1",
            "inlet_test_rtt_seconds_bucket{le=\"0.05\"} 1",
            "inlet_test_turn_seconds_bucket{le=\"0.0001\"} 0",
            "process_open_fds ",
            "process_start_time_seconds ",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }
}
