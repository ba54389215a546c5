"""The least that Python can do, and nothing more: `load`, `work AT_ONCE`, `accept COUNT AT_ONCE`."""

import asyncio
import json
import os
import sys

import aio_pika
import aiohttp
import uvloop
from pymongo import AsyncMongoClient

import job as jobs


def database():
    return AsyncMongoClient(jobs.MONGODB_URI, w="majority")[jobs.MONGODB_DATABASE]


async def declare():
    connection = await aio_pika.connect(jobs.RABBITMQ_URL)
    channel = await connection.channel(publisher_confirms=True)
    queue = await channel.declare_queue(jobs.QUEUE, durable=True, arguments=jobs.QUORUM)
    return connection, channel, queue


async def publish(channel, document):
    body = json.dumps(jobs.message(document)).encode()
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, jobs.QUEUE, mandatory=True)


async def load():
    connection, channel, _ = await declare()
    documents = await database().jobs.find().sort("_id").to_list()
    for first in range(0, len(documents), 100):
        await asyncio.gather(*(publish(channel, document) for document in documents[first : first + 100]))
    await connection.close()


async def perform(db, http, job):
    await db.jobs.update_one(*job.running())
    async with http.post(jobs.UPLOAD_URL, data=job.body(), headers=jobs.HEADERS) as reply:
        reply.raise_for_status()
        reply = await reply.json()
    await db.assets.update_one(*job.ready(reply))
    await db.users.update_one(*job.shown(reply))
    await db.jobs.update_one(*job.completed())
    os.unlink(job.path)


async def work(at_once):
    db = database()
    _connection, channel, queue = await declare()
    await channel.set_qos(prefetch_count=at_once)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as http:

        async def handle(message):
            await perform(db, http, jobs.Job(**json.loads(message.body)))
            await message.ack()

        await queue.consume(handle)
        await asyncio.Event().wait()


async def accept(count, at_once):
    db = database()
    connection, channel, _ = await declare()

    async def some(numbers):
        for _ in numbers:
            document = jobs.new_document()
            await db.jobs.insert_one(document)
            await publish(channel, document)

    async def all_of(number):
        numbers = iter(range(number))
        await asyncio.gather(*(some(numbers) for _ in range(at_once)))

    await all_of(at_once * 2)
    jobs.say_and_wait("ready")
    await all_of(count)
    jobs.say_and_wait("done")
    await connection.close()


what, *numbers = sys.argv[1:]
uvloop.run({"load": load, "work": work, "accept": accept}[what](*map(int, numbers)))
