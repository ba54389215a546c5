//! Who uses how much of the machine, as proc(5) counts it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Milliseconds of a tick; proc(5): a hundredth of a second, on every Linux.
const TICK: u64 = 10;
/// proc(5), `net/tcp`: the state of a socket that listens.
const LISTENS: &str = "0A";

/// Processes by the part that they play; several may play the same.
#[derive(Clone, Debug, Default)]
pub struct Parts(Vec<(&'static str, i32)>);

/// Processor time of each part since the start of its processes.
#[derive(Clone, Debug)]
pub struct Reading {
    at: Instant,
    /// Of all processors that had nothing to do.
    idle: Duration,
    used: Vec<(&'static str, Duration)>,
}

/// What was used between two readings.
#[derive(Clone, Debug)]
pub struct Usage {
    pub took: Duration,
    /// Share of the machine that had nothing to do.
    pub idle: f64,
    pub parts: Vec<(&'static str, Duration)>,
}

impl Parts {
    pub fn add(&mut self, part: &'static str, pid: i32) {
        self.0.push((part, pid));
    }

    /// Whoever listens on the port of an address, unless that is on another machine.
    pub fn add_listener(&mut self, part: &'static str, url: &str) {
        if let Some(pid) = port(url).and_then(listener) {
            self.add(part, pid);
        }
    }

    pub fn read(&self) -> anyhow::Result<Reading> {
        let mut used: Vec<(&'static str, Duration)> = Vec::new();
        for &(part, pid) in &self.0 {
            let time = processor_time(pid)?;
            match used.iter_mut().find(|(known, _)| *known == part) {
                Some((_, sum)) => *sum += time,
                None => used.push((part, time)),
            }
        }
        Ok(Reading { at: Instant::now(), idle: idle_time()?, used })
    }
}

impl Reading {
    pub fn until(&self, later: &Reading) -> Usage {
        let took = later.at - self.at;
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let idle = later.idle.saturating_sub(self.idle).as_secs_f64() / took.as_secs_f64() / processors;
        let before =
            |part| self.used.iter().find(|(known, _)| *known == part).map_or(Duration::ZERO, |(_, time)| *time);
        let parts = later.used.iter().map(|&(part, time)| (part, time.saturating_sub(before(part)))).collect();
        Usage { took, idle, parts }
    }
}

impl Usage {
    pub fn of(&self, part: &str) -> Option<Duration> {
        self.parts.iter().find(|(known, _)| *known == part).map(|(_, time)| *time)
    }

    pub fn sum(&self) -> Duration {
        self.parts.iter().map(|(_, time)| *time).sum()
    }
}

fn time(ticks: u64) -> Duration {
    Duration::from_millis(TICK.saturating_mul(ticks))
}

/// Of all its threads, those that have ended included.
fn processor_time(pid: i32) -> anyhow::Result<Duration> {
    let file = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    ticks(&stat).map(time).with_context(|| format!("{file} is not as proc(5) has it"))
}

/// Fields 14 and 15. The second is the program's name in brackets and may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The columns `idle` and `iowait` of all processors together.
fn idle_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    let columns = stat.lines().next().unwrap_or_default().split_whitespace();
    Ok(time(columns.skip(4).take(2).filter_map(|column| column.parse::<u64>().ok()).sum()))
}

/// Memory that a process has, bytes; what several share is divided among them.
pub fn memory(pid: i32) -> anyhow::Result<u64> {
    let file = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    Ok(kib.with_context(|| format!("{file} has no Pss"))? * 1024)
}

/// The port of an address such as `amqp://user:password@127.0.0.1:5672/` that names this machine.
fn port(url: &str) -> Option<u16> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?']).next()?;
    let (host, port) = authority.rsplit('@').next()?.rsplit_once(':')?;
    ["127.0.0.1", "localhost"].contains(&host).then(|| port.parse().ok())?
}

/// The process that listens on a port of this machine, if we may see it.
fn listener(port: u16) -> Option<i32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|table| table.lines().skip(1).find_map(|line| socket_of(line, port)))?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| link.as_os_str() == socket.as_str())
    })
}

/// The inode of a line of `net/tcp` about a socket that listens on this port.
fn socket_of(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit_once(':')?.1;
    let is_it = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTENS;
    is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_is_no_field() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn whoever_listens_is_found_by_its_port() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("an address").port();
        assert_eq!(listener(port), Some(std::process::id().cast_signed()));
        drop(socket);
        assert_eq!(listener(port), None);
    }

    #[test]
    fn only_addresses_on_this_machine_have_a_listener_to_look_for() {
        assert_eq!(port("amqp://guest:guest@127.0.0.1:5673/host"), Some(5673));
        assert_eq!(port("mongodb://127.0.0.1:27018/?replicaSet=rs0"), Some(27018));
        assert_eq!(port("redis://localhost:6379"), Some(6379));
        assert_eq!(port("amqps://mq.example:5671"), None);
        assert_eq!(port("mongodb+srv://db.example"), None);
    }

    #[test]
    fn work_between_two_readings_is_counted_for_its_part() {
        let mut parts = Parts::default();
        parts.add("this", std::process::id().cast_signed());
        let before = parts.read().expect("a reading");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(100) {
            std::hint::spin_loop();
        }
        let deadline = begun + Duration::from_secs(60);
        loop {
            let usage = before.until(&parts.read().expect("a reading"));
            if usage.of("this").expect("a part") >= Duration::from_millis(30) {
                return assert_eq!(usage.of("another"), None);
            }
            assert!(Instant::now() < deadline, "{usage:?}");
        }
    }

    #[test]
    fn this_process_needs_memory() {
        assert!(memory(std::process::id().cast_signed()).expect("a number") > 100_000);
    }
}
