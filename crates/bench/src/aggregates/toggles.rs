//! Toggles on one channel beside toggles spread over a thousand.

use std::time::Duration;

use super::stage::Stage;
use crate::load;
use crate::table::{Row, median};

const CLIENTS: usize = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(8);

pub async fn measure(stage: &Stage) -> anyhow::Result<Row> {
    let (mut hot, mut spread) = (Vec::new(), Vec::new());
    let ids: Vec<String> = stage.spread.iter().map(|channel| channel.id.to_string()).collect();
    for _ in 0..ROUNDS {
        stage.settle().await?;
        let one = stage.quiet.id.to_string();
        let request = stage.request("POST", move |_| format!("/api/v1/subscriptions/c/{one}"));
        let load = load::run(stage.system.api_address, CLIENTS, ROUND, request).await;
        anyhow::ensure!(load.failed == 0, "{} toggles failed", load.failed);
        hot.push(load.per_second());

        stage.settle().await?;
        let ids = ids.clone();
        let request =
            stage.request("POST", move |number| format!("/api/v1/subscriptions/c/{}", ids[number * 7 % ids.len()]));
        let load = load::run(stage.system.api_address, CLIENTS, ROUND, request).await;
        anyhow::ensure!(load.failed == 0, "{} toggles failed", load.failed);
        spread.push(load.per_second());
    }
    let (hot, spread) = (median(hot), median(spread));
    Ok(Row {
        what: "toggles/s of one channel, 64 clients, against 1,000 channels",
        ours: format!("{hot:.0}/s"),
        yardstick: format!("{spread:.0}/s"),
        ratio: format!("{:.0} %", hot / spread * 100.0),
        bound: ">= 50 %",
        met: hot >= 0.5 * spread,
    })
}
