//! Consuming one queue over one connection, again and again until the connection ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connection::{delays, next};
use crate::consumer::{Board, QueueSpec};
use crate::socket::Connected;
use crate::topology::{ANSWER_TIMEOUT, answer, declare_job_queue, short};
use crate::{Delivery, Error, Publisher};

/// How often the channel is looked at. lapin tells a consumer of a channel's end once, and then is silent for ever.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Subscription {
    pub(crate) connection: Arc<Connected>,
    pub(crate) queue: QueueSpec,
    pub(crate) deliveries: mpsc::Sender<Delivery>,
    pub(crate) board: Arc<Board>,
    pub(crate) publisher: Publisher,
    pub(crate) stop: CancellationToken,
}

struct Consuming {
    channel: Channel,
    stream: lapin::Consumer,
}

impl Subscription {
    /// Returns when the connection has ended or we are told to stop; then what was buffered is given back.
    pub(crate) async fn run(self) {
        let queue = self.queue.name.as_str();
        let mut delays = delays();
        while self.connection.amqp.status().connected() {
            let why = match self.begin().await {
                Ok(consuming) => {
                    self.board.consuming(queue);
                    tracing::info!(queue, prefetch = self.queue.prefetch, "consuming");
                    let Some(why) = self.forward(consuming).await else { return };
                    delays = crate::connection::delays();
                    why
                }
                Err(error) => error.to_string(),
            };
            tracing::warn!(queue, why, "not consuming");
            self.board.waiting(queue, &why);
            let delay = next(&mut delays);
            if self.stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                return;
            }
        }
    }

    async fn begin(&self) -> Result<Consuming, Error> {
        let channel = answer(self.connection.amqp.create_channel()).await?.map_err(Error::unavailable)?;
        declare_job_queue(&channel, &self.queue.name).await?;
        // Before consuming, or the broker sends everything it has.
        let qos = channel.basic_qos(self.queue.prefetch.get(), BasicQosOptions::default());
        answer(qos).await?.map_err(Error::unavailable)?;
        let options = BasicConsumeOptions::default();
        let consume = channel.basic_consume(short(&self.queue.name)?, "".into(), options, FieldTable::default());
        let stream = answer(consume).await?.map_err(Error::unavailable)?;
        Ok(Consuming { channel, stream })
    }

    /// Hands deliveries on until something ends that, and says what. `None`: we were told to stop.
    async fn forward(&self, mut consuming: Consuming) -> Option<String> {
        loop {
            let arrived = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    give_back(consuming).await;
                    return None;
                }
                arrived = timeout(LOOK, consuming.stream.next()) => arrived,
            };
            match arrived {
                Ok(Some(Ok(arrived))) => {
                    let channel = consuming.channel.clone();
                    let delivery = Delivery::new(arrived, &self.queue.name, channel, self.publisher.clone());
                    // Whoever takes deliveries is gone. What is unsettled comes again when the connection closes.
                    self.deliveries.send(delivery).await.ok()?;
                }
                Ok(Some(Err(error))) => return Some(error.to_string()),
                Ok(None) => return Some("the broker cancelled the consumer; was the queue deleted?".to_owned()),
                Err(_) if consuming.channel.status().connected() => {}
                Err(_) => return Some("the channel ended".to_owned()),
            }
        }
    }
}

/// Stops the flow and requeues what had arrived unseen. The channel lives on as long as a delivery that came over it.
async fn give_back(mut consuming: Consuming) {
    let tag = consuming.stream.tag();
    let cancel = consuming.channel.basic_cancel(tag, BasicCancelOptions::default());
    let requeue = BasicNackOptions { requeue: true, ..Default::default() };
    let work = async {
        if let Err(error) = cancel.await {
            tracing::debug!(%error, "the consumer was already gone");
        }
        while let Some(Ok(delivery)) = consuming.stream.next().await {
            if let Err(error) = delivery.acker.nack(requeue).await {
                tracing::debug!(%error, "the delivery comes again anyway");
            }
        }
    };
    if timeout(ANSWER_TIMEOUT, work).await.is_err() {
        tracing::debug!("the broker does not answer; it delivers again when the connection closes");
    }
}
