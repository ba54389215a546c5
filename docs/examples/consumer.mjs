// Receives media.ready.v1 and prints a line for each: a start for a consumer of your own.
//
//     npm install --prefix docs/examples
//     RABBITMQ_URL=amqp://guest:guest@127.0.0.1:5672/ node docs/examples/consumer.mjs
//
// Nothing is lost while it or the broker is down: the queue is durable, and an event is acknowledged once it is handled.

import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

import Ajv from 'ajv/dist/2020.js';
import amqplib from 'amqplib';

const URL_OF_BROKER = process.env.RABBITMQ_URL ?? 'amqp://guest:guest@127.0.0.1:5672/';
const EXCHANGE = 'steep.events';
const KIND = 'media.ready.v1';
// Name it after what consumes from it. Processes that use one name share its events.
const QUEUE = process.env.QUEUE ?? 'example-node';
const SCHEMA = new URL(`../contracts/schemas/${KIND}.json`, import.meta.url);
// Events that wait in this process, and ids of handled ones that it remembers.
const PREFETCH = 20;
const REMEMBERED = 10_000;
// Milliseconds before another try.
const PAUSE = 1_000;

// Without formats, which patterns say too.
const ajv = new Ajv({ validateFormats: false });
const fits = ajv.compile(JSON.parse(await readFile(SCHEMA, 'utf8')));
// Lost with the process. If an event must not be handled twice even then, keep its id where the effect is, in one transaction.
const handled = new Set();
// Events are handled one after the other, also across connections: one that comes again meanwhile waits for itself.
let last = Promise.resolve();

// Your work. If it throws, the event comes again.
async function handle({ kind, id, data }) {
  console.log(kind, id, data.asset, data.url);
}

// The event, or an error if it is none. Members that the schema does not name are fine: a newer version adds them.
function read(content) {
  const event = JSON.parse(content.toString());
  if (!fits(event)) throw new Error(ajv.errorsText(fits.errors));
  return event;
}

async function take(channel, message) {
  let event;
  try {
    event = read(message.content);
  } catch (error) {
    // It would fit no better the next time. An x-dead-letter-exchange of the queue would keep it.
    console.error(`refused ${message.properties.messageId}: ${error.message}`);
    return channel.nack(message, false, false);
  }
  if (!handled.has(event.id)) {
    try {
      await handle(event);
    } catch (error) {
      console.error(`again in ${PAUSE} ms: ${event.id}: ${error}`);
      await pause(PAUSE);
      return channel.nack(message);
    }
    handled.add(event.id);
    // A set keeps the order in which it was filled.
    if (handled.size > REMEMBERED) handled.delete(handled.values().next().value);
  }
  channel.ack(message);
}

// Ends with an error when there is no connection, or no queue, any more.
async function receive() {
  const connection = await amqplib.connect(URL_OF_BROKER);
  const ended = new Promise((_resolve, reject) => {
    connection.on('error', reject);
    connection.on('close', () => reject(new Error('the connection is closed')));
  });
  const consuming = async () => {
    const channel = await connection.createChannel();
    // An error of the channel is one of the connection here.
    channel.on('error', (error) => connection.emit('error', error));
    await channel.prefetch(PREFETCH);
    // As Steep declares it, which changes nothing if it exists.
    await channel.assertExchange(EXCHANGE, 'topic', { durable: true });
    await channel.assertQueue(QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await channel.bindQueue(QUEUE, EXCHANGE, KIND);
    await channel.consume(QUEUE, (message) => {
      if (message === null) return connection.emit('error', new Error('the queue was deleted'));
      last = last.then(() => take(channel, message)).catch((error) => connection.emit('error', error));
    });
  };
  try {
    await Promise.race([consuming(), ended]);
    await ended;
  } finally {
    await connection.close().catch(() => {});
  }
}

for (;;) {
  await receive().catch((error) => console.error(`again in ${PAUSE} ms: ${error.message}`));
  await pause(PAUSE);
}
