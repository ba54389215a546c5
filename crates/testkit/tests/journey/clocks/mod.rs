//! Machines whose clocks are wrong: by minutes or by days, fast or slow, or changed at any time.

mod files;
mod people;
mod retries;

use testkit::process::FalseClock;
use testkit::{TestEnv, tools};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A clock that is so many seconds fast. `None` on a machine that cannot have one; the test is skipped.
fn clock(env: &TestEnv, name: &str, seconds: i64) -> Option<FalseClock> {
    let clock = FalseClock::new(env.folder(), name, seconds);
    clock.inspect_err(|reason| tools::skip("a machine whose clock is wrong", reason)).ok()
}
