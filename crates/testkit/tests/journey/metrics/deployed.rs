//! What deploy/ makes of the metrics: the page, rules, alerts and dashboards. All of it asks for metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use meters::{TABLE, Type};
use serde_json::Value;
use testkit::tools;

use super::watch::promtool;

/// Labels that Prometheus adds.
const ADDED: [&str; 3] = ["job", "instance", "le"];
/// Series that Prometheus makes, with their labels.
const MADE: [(&str, &[&str]); 2] = [("up", &[]), ("ALERTS", &["alertstate", "alertname"])];

fn deploy(file: &str) -> PathBuf {
    tools::workspace().join("deploy").join(file)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// The values of a key, wherever it stands in a file of YAML; one that begins with `|` goes on as far as it is indented.
fn values(yaml: &str, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines: Vec<&str> = yaml.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some(value) = line.trim_start().trim_start_matches("- ").strip_prefix(&format!("{key}: ")) else {
            continue;
        };
        let indented = |line: &str| line.len() - line.trim_start().len();
        let rest = lines[at + 1..].iter().take_while(|next| indented(next) > indented(line));
        let text =
            if value == "|" { rest.map(|line| line.trim()).collect::<Vec<_>>().join(" ") } else { value.to_owned() };
        found.push(text);
    }
    found
}

/// What a query asks for: the series, each with the labels that it is selected by; and the labels that results are grouped by.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    series: Vec<(String, Vec<String>)>,
    groups: Vec<String>,
}

/// Reads as much of PromQL as rules and dashboards here are written in.
fn asked(query: &str) -> Asked {
    let mut asked = Asked::default();
    let is_word = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | ':');
    // Values of labels and ranges name nothing.
    let mut text: String = query.split('"').step_by(2).collect();
    while let (Some(from), Some(to)) = (text.find('['), text.find(']')) {
        text.replace_range(from..=to, "");
    }
    let words = |text: &str| -> Vec<String> {
        text.split(|char| !is_word(char)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let mut rest = text.as_str();
    while let Some(from) = rest.find(is_word) {
        let word: String = rest[from..].chars().take_while(|char| is_word(*char)).collect();
        rest = &rest[from + word.len()..];
        let next = rest.trim_start();
        let inside = |closing: char| next[1..].split(closing).next().expect("a closing bracket");
        if matches!(word.as_str(), "by" | "on") {
            asked.groups.extend(words(inside(')')));
            rest = &next[inside(')').len() + 1..];
        } else if word.starts_with(|char: char| char.is_ascii_digit())
            || matches!(word.as_str(), "unless" | "or" | "and")
        {
            continue;
        } else if next.starts_with('{') {
            asked.series.push((word, words(inside('}'))));
            rest = &next[inside('}').len() + 1..];
        } else if !next.starts_with('(') && !rest.trim_start().starts_with("by ") {
            asked.series.push((word, Vec::new()));
        }
    }
    asked
}

/// Every series that can be asked for, with its labels.
fn known(recorded: &[String]) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut known = BTreeMap::new();
    for metric in TABLE {
        let labels: BTreeSet<&str> = metric.labels.iter().map(|label| label.name).chain(ADDED).collect();
        let endings: &[&str] = match metric.kind {
            Type::Histogram(_) => &["_bucket", "_sum", "_count"],
            Type::Counter | Type::Gauge => &[""],
        };
        for ending in endings {
            known.insert(format!("{}{ending}", metric.name), labels.clone());
        }
    }
    // What is recorded may have any label that there is.
    let all: BTreeSet<&str> =
        TABLE.iter().flat_map(|metric| metric.labels).map(|label| label.name).chain(ADDED).collect();
    known.extend(recorded.iter().map(|name| (name.clone(), all.clone())));
    known.extend(MADE.map(|(name, labels)| (name.to_owned(), labels.iter().copied().chain(ADDED).collect())));
    known
}

/// What of a query is not known.
fn unknown(query: &str, known: &BTreeMap<String, BTreeSet<&str>>) -> Vec<String> {
    let Asked { series, groups } = asked(query);
    assert!(!series.is_empty(), "nothing is asked for in {query}");
    let mut unknown = Vec::new();
    let mut labels: BTreeSet<&str> = BTreeSet::new();
    for (name, by) in &series {
        let Some(of_series) = known.get(name) else {
            unknown.push(name.clone());
            continue;
        };
        labels.extend(of_series);
        unknown.extend(
            by.iter().filter(|label| !of_series.contains(label.as_str())).map(|label| format!("{name}{{{label}}}")),
        );
    }
    unknown.extend(groups.into_iter().filter(|group| !labels.contains(group.as_str())));
    unknown
}

#[test]
fn every_query_of_rules_and_dashboards_asks_for_series_and_labels_that_there_are() {
    let (rules, alerts) = (read(&deploy("prometheus/rules.yml")), read(&deploy("prometheus/alerts.yml")));
    let recorded = values(&rules, "record");
    let known = known(&recorded);
    let mut queries = [values(&rules, "expr"), values(&alerts, "expr")].concat();
    assert_eq!(queries.len(), recorded.len() + values(&alerts, "alert").len());
    for dashboard in ["grafana/dashboards/fleet.json", "grafana/dashboards/upload.json"] {
        let dashboard: Value = serde_json::from_str(&read(&deploy(dashboard))).expect("JSON");
        let panels = dashboard["panels"].as_array().expect("panels");
        let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        let expressions: Vec<String> =
            targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect();
        assert!(expressions.len() > 10, "{expressions:?}");
        queries.extend(expressions);
    }
    let wrong: Vec<_> = queries.iter().map(|query| (query, unknown(query, &known))).collect();
    let wrong: Vec<_> = wrong.into_iter().filter(|(_, unknown)| !unknown.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let shown: BTreeSet<String> = queries.iter().flat_map(|query| asked(query).series).map(|(name, _)| name).collect();
    let forgotten: Vec<&str> = TABLE
        .iter()
        .map(|metric| metric.name)
        .filter(|name| !shown.iter().any(|shown| shown.starts_with(name)))
        .collect();
    assert!(forgotten.is_empty(), "no dashboard and no alert asks for {forgotten:?}");
}

#[test]
fn a_query_for_what_is_not_there_is_noticed() {
    let known = known(&["steep:jobs:max".to_owned()]);
    for (query, expected) in [
        ("max by (kind) (steep_jobs{state=\"queued\"}) > 3", &[][..]),
        ("sum(rate(steep_publishes_total{result!~\"a|b{\"}[5m])) / sum (steep:jobs:max)", &[]),
        ("histogram_quantile(0.99, sum by (le, kind) (rate(steep_job_wait_seconds_bucket[$__rate_interval])))", &[]),
        ("steep_ready == 0 unless steep_draining == 1", &[]),
        ("steep_job_wait_seconds > 1", &["steep_job_wait_seconds"]),
        ("absent(steep_nothing)", &["steep_nothing"]),
        ("steep_jobs{queue=\"x\"}", &["steep_jobs{queue}"]),
        ("sum by (worker) (steep_jobs)", &["worker"]),
    ] {
        assert_eq!(unknown(query, &known), expected, "{query}");
    }
}

#[test]
fn every_alert_is_tested_and_names_a_section_of_the_operations_page() {
    let (alerts, tests) = (read(&deploy("prometheus/alerts.yml")), read(&deploy("prometheus/tests.yml")));
    let (names, runbooks) = (values(&alerts, "alert"), values(&alerts, "runbook"));
    assert_eq!(names.len(), runbooks.len());
    let page = read(&tools::workspace().join("docs/operations.md"));
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    let anchors: BTreeSet<String> = headings.map(|heading| heading.to_lowercase().replace(' ', "-")).collect();
    for (name, runbook) in names.iter().zip(&runbooks) {
        let section = runbook.strip_prefix("docs/operations.md#").expect("a section of the page");
        assert!(anchors.contains(section), "{name}: {runbook} is none of {anchors:?}");
        // Once it fires, and once it does not.
        let fires = format!("alertname: {name}\n        exp_alerts:");
        assert!(tests.contains(&fires) && tests.contains(&format!("alertname: {name} }}")), "{name}");
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_rules_and_every_alert_fires_when_it_should() {
    let Some(promtool) = promtool() else {
        return tools::skip(
            "rules and alerts of deploy/prometheus were not checked",
            "promtool is not on this machine",
        );
    };
    let file = |name: &str| deploy("prometheus").join(name);
    for (what, files) in [
        (["check", "config"], vec![file("prometheus.yml")]),
        (["check", "rules"], vec![file("rules.yml"), file("alerts.yml")]),
        (["test", "rules"], vec![file("tests.yml")]),
    ] {
        tools::run(Command::new(&promtool).args(what).args(files)).unwrap_or_else(|said| panic!("{said}"));
    }
}

#[test]
fn the_metrics_in_the_page_are_those_of_the_programs() {
    let path = deploy("prometheus/README.md");
    let page = read(&path);
    let (opening, closing) = ("<!-- metrics -->\n", "<!-- end -->");
    let (before, rest) = page.split_once(opening).expect("the page has the table");
    let (_, after) = rest.split_once(closing).expect("the table ends");
    let expected = format!("{before}{opening}{}\n{closing}{after}", meters::page());
    if std::env::var_os("STEEP_WRITE_DOCS").is_some() {
        return std::fs::write(&path, expected).expect("the page is written");
    }
    assert!(expected == page, "{} differs; STEEP_WRITE_DOCS=1 with this test writes it anew", path.display());
}

#[test]
fn compose_mounts_what_there_is_and_tells_the_programs_the_ports_that_are_scraped() {
    let (compose, scraped) =
        (read(&tools::workspace().join("docker-compose.yml")), read(&deploy("prometheus/prometheus.yml")));
    let mounted: Vec<&str> = compose.split("\"./").skip(1).filter_map(|rest| rest.split(':').next()).collect();
    assert_eq!(mounted.len(), 3, "{mounted:?}");
    for path in mounted {
        assert!(tools::workspace().join(path).is_dir(), "{path}");
    }
    for (setting, service) in [("METRICS_LISTEN", "api"), ("WORKER_HEALTH", "worker")] {
        let address = values(&compose, setting);
        let [address] = &*address else { panic!("{setting}: {address:?}") };
        let port = address.strip_prefix("0.0.0.0:").expect("an address that Prometheus reaches");
        assert!(scraped.contains(&format!("names: [{service}], type: A, port: {port}")), "{service} at {port}");
    }
}
