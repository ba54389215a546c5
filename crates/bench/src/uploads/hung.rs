//! The answer waits for nobody: answer times with Cloudinary hung beside those with it instant.

use std::path::Path;
use std::time::Duration;

use testkit::{Services, jpeg};

use crate::load::{self, Latencies};
use crate::system::{Form, System};
use crate::table::{Row, milliseconds};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
const USERS: usize = 20_000;

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Row> {
    let mut system = System::start(root, services, USERS).await?;
    let form = Form::new("avatar", "me.jpg", &[jpeg(200 * 1024)]);
    let avatar = system.upload("PATCH", "/api/v1/users/avatar", &form);
    let (mut instant, mut hung, mut sent) = (Latencies::default(), Latencies::default(), 0);
    for _ in 0..ROUNDS {
        for (latencies, is_hung) in [(&mut instant, false), (&mut hung, true)] {
            if is_hung {
                system.hang().await?;
            }
            let (avatar, first) = (avatar.clone(), sent);
            let load = load::run(system.api_address, CONNECTIONS, ROUND, move |number| avatar(first + number)).await;
            anyhow::ensure!(load.failed == 0, "{} uploads failed", load.failed);
            sent += load.latencies.count();
            latencies.extend(load.latencies);
            if is_hung {
                system.unhang().await?;
            }
        }
    }
    system.remove().await?;
    let (ours, base) = (hung.percentile(0.99), instant.percentile(0.99));
    let ratio = ours.as_secs_f64() / base.as_secs_f64();
    Ok(Row {
        what: "p99 of that with Cloudinary hung, against instant",
        ours: milliseconds(ours),
        yardstick: milliseconds(base),
        ratio: format!("{ratio:.2}"),
        bound: "<= 1.5",
        met: ratio <= 1.5,
    })
}
