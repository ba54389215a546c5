"""Celery: `load`, `accept COUNT AT_ONCE`. Its worker is Celery's own: `celery -A celery_peer worker`."""

import json
import os
import sys

if sys.argv[1:2] == ["accept"]:
    from gevent import monkey

    monkey.patch_all()

import urllib3
from celery import Celery
from gevent.pool import Pool
from kombu import Exchange, Queue
from pymongo import MongoClient

import job as jobs

app = Celery("peers", broker=jobs.RABBITMQ_URL)
app.conf.update(
    # After the work, not before it.
    task_acks_late=True,
    task_ignore_result=True,
    task_queues=[Queue(jobs.QUEUE, Exchange(jobs.QUEUE), routing_key=jobs.QUEUE, queue_arguments=jobs.QUORUM)],
    task_default_queue=jobs.QUEUE,
    task_default_exchange=jobs.QUEUE,
    task_default_routing_key=jobs.QUEUE,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    broker_pool_limit=16,
)
kept = {}


def connected():
    """The database and the client, made after the worker has patched what they stand on."""
    if not kept:
        kept["db"] = MongoClient(jobs.MONGODB_URI, w="majority")[jobs.MONGODB_DATABASE]
        kept["http"] = urllib3.PoolManager(maxsize=64)
    return kept["db"], kept["http"]


@app.task(name="upload")
def upload(**names):
    job = jobs.Job(**names)
    db, http = connected()
    db.jobs.update_one(*job.running())
    reply = http.request("POST", jobs.UPLOAD_URL, body=job.body(), headers=jobs.HEADERS, retries=False)
    if reply.status != 200:
        raise RuntimeError(reply.data.decode())
    reply = json.loads(reply.data)
    db.assets.update_one(*job.ready(reply))
    db.users.update_one(*job.shown(reply))
    db.jobs.update_one(*job.completed())
    os.unlink(job.path)


def load():
    db, _ = connected()
    with app.producer_or_acquire() as producer:
        for document in db.jobs.find().sort("_id"):
            upload.apply_async(kwargs=jobs.message(document), producer=producer)


def accept(count, at_once):
    db, _ = connected()
    pool = Pool(at_once)

    def one(_):
        document = jobs.new_document()
        db.jobs.insert_one(document)
        upload.apply_async(kwargs=jobs.message(document))

    pool.map(one, range(at_once * 2))
    jobs.say_and_wait("ready")
    pool.map(one, range(count))
    jobs.say_and_wait("done")


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    {"load": load, "accept": accept}[what](*map(int, numbers))
