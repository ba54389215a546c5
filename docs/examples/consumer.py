"""Receives media.ready.v1 and prints a line for each: a start for a consumer of your own.

    pip install -r docs/examples/requirements.txt
    RABBITMQ_URL=amqp://guest:guest@127.0.0.1:5672/ python3 docs/examples/consumer.py

Nothing is lost while it or the broker is down: the queue is durable, and an event is acknowledged once it is handled.
"""

import asyncio
import json
import os
import sys
from collections import OrderedDict
from pathlib import Path

import aio_pika
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/")
EXCHANGE = "steep.events"
KIND = "media.ready.v1"
# Name it after what consumes from it. Processes that use one name share its events.
QUEUE = os.environ.get("QUEUE", "example-python")
SCHEMA = Path(__file__).resolve().parent.parent / "contracts" / "schemas" / f"{KIND}.json"
# Events that wait in this process, and ids of handled ones that it remembers.
PREFETCH, REMEMBERED = 20, 10_000
# Seconds before another try.
PAUSE = 1

validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
# Lost with the process. If an event must not be handled twice even then, keep its id where the effect is, in one transaction.
handled = OrderedDict()


async def handle(event):
    """Your work. If it raises, the event comes again."""
    data = event["data"]
    print(event["kind"], event["id"], data["asset"], data["url"], flush=True)


def read(body):
    """The event, or ValueError if it is none. Members that the schema does not name are fine: a newer version adds them."""
    event = json.loads(body)
    if error := best_match(validator.iter_errors(event)):
        raise ValueError(f"{error.json_path}: {error.message}")
    return event


async def take(message):
    try:
        event = read(message.body)
    except ValueError as error:
        # It would fit no better the next time. An x-dead-letter-exchange of the queue would keep it.
        print(f"refused {message.message_id}: {error}", file=sys.stderr, flush=True)
        return await message.reject(requeue=False)
    if event["id"] not in handled:
        try:
            await handle(event)
        except Exception as error:
            print(f"again in {PAUSE} s: {event['id']}: {error!r}", file=sys.stderr, flush=True)
            await asyncio.sleep(PAUSE)
            return await message.reject(requeue=True)
        handled[event["id"]] = True
        if len(handled) > REMEMBERED:
            handled.popitem(last=False)
    await message.ack()


async def main():
    # Connects again for ever, and then restores what is declared here.
    connection = await aio_pika.connect_robust(URL, fail_fast=False, reconnect_interval=PAUSE)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        # As Steep declares it, which changes nothing if it exists.
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(exchange, routing_key=KIND)
        async with queue.iterator() as messages:
            async for message in messages:
                try:
                    await take(message)
                except CONNECTION_EXCEPTIONS as error:
                    # It could not be settled and comes again. Its id is remembered.
                    print(f"not settled: {error!r}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
