//! What is recorded comes out, and nothing else.

#![allow(clippy::expect_used, reason = "in a test, failing loudly is what to do")]

use std::collections::BTreeSet;

use meters::{Program, Scrape, TABLE, Type};

/// The names of the series in a text, without what histograms append.
fn names(text: &str) -> BTreeSet<String> {
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    typed.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

// One test: what is recorded is one for the whole process.
#[test]
fn a_metric_is_there_once_its_program_records_and_a_value_that_is_in_no_table_is_another_one() {
    meters::PUBLISHES.add(&["confirmed"], 1);
    assert!(!meters::is_on() && Scrape::default().text().is_empty(), "nobody asked for it");

    meters::record(Program::Worker);
    let begun = Scrape::default().text();
    assert!(begun.contains("steep_publishes_total{result=\"confirmed\"} 0\n"), "{begun}");
    assert!(begun.contains("steep_crashes_denied_total 0\n"), "{begun}");
    assert!(begun.contains("steep_publish_confirm_seconds_bucket{le=\"0.005\"} 0\n"), "{begun}");
    for metric in TABLE.iter().filter(|metric| metric.kind != Type::Gauge && metric.labels.len() < 2) {
        let is_there = names(&begun).contains(metric.name);
        assert_eq!(is_there, metric.programs.has(Program::Worker), "{}", metric.name);
    }

    meters::PUBLISHES.add(&["confirmed"], 2);
    meters::PUBLISHES.add(&["anything"], 1);
    meters::JOB_ATTEMPTS.add(&["media.upload.v1", "retry", "transient"], 1);
    meters::UPLOAD_SIZE.record(&[], 20_000.0);
    let scrape = Scrape::default();
    scrape.count(&meters::JOBS, &["media.delete.v1", "queued"], 7);
    scrape.flag(&meters::READY, &[], true);
    let text = scrape.text();
    for line in [
        "steep_publishes_total{result=\"confirmed\"} 2",
        "steep_publishes_total{result=\"other\"} 1",
        "steep_job_attempts_total{kind=\"media.upload.v1\",outcome=\"retry\",error_class=\"transient\"} 1",
        "steep_upload_size_bytes_bucket{le=\"16384\"} 0",
        "steep_upload_size_bytes_bucket{le=\"65536\"} 1",
        "steep_upload_size_bytes_sum 20000",
        "steep_jobs{kind=\"media.delete.v1\",state=\"queued\"} 7",
        "steep_ready 1",
        "# TYPE steep_ready gauge",
        "# HELP steep_ready 1 if /readyz says so",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!names(&Scrape::default().text()).contains("steep_ready"), "a gauge that is not set is absent");

    meters::record(Program::Api);
    meters::set_routes(["/api/v1/jobs/{id}".to_owned()].into_iter());
    for (route, expected) in [("/api/v1/jobs/{id}", "/api/v1/jobs/{id}"), ("/nowhere", "other")] {
        meters::HTTP_REQUEST.record(&["BREW", route, "418"], 0.1);
        let series = format!(
            "http_server_request_duration_seconds_count{{http_request_method=\"_OTHER\",http_route=\"{expected}\",\
             http_response_status_code=\"other\"}} 1"
        );
        let text = Scrape::default().text();
        assert!(text.contains(&series), "{series} is not in\n{text}");
    }

    let known: BTreeSet<String> = TABLE.iter().map(|metric| metric.name.to_owned()).collect();
    assert!(names(&text).is_subset(&known), "{:?}", names(&text));
}
