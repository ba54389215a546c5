"""The job that both Python peers do, as far as nothing in it waits: what is sent, and what is written."""

import hashlib
import os
import time
from datetime import UTC, datetime

from bson import ObjectId

MONGODB_URI = os.environ["MONGODB_URI"]
MONGODB_DATABASE = os.environ["MONGODB_DATABASE"]
RABBITMQ_URL = os.environ["RABBITMQ_URL"]
SPOOL = os.environ.get("SPOOL", "")
UPLOAD_URL = os.environ.get("UPLOAD_URL", "")
API_KEY = os.environ.get("API_KEY", "")
API_SECRET = os.environ.get("API_SECRET", "")

QUEUE = "peers"
QUORUM = {"x-queue-type": "quorum"}
HEADERS = {"content-type": "multipart/form-data; boundary=peers"}
PART = '--peers\r\ncontent-disposition: form-data; name="{}"'


class Job:
    """Names of documents and of a file, and the statements about them."""

    def __init__(self, job, asset, owner):
        self.id, self.asset, self.owner = job, asset, owner
        self.path = f"{SPOOL}/{job}"

    def body(self):
        """A signed form with the file. Built by hand, which costs less than either client's own."""
        signed = f"public_id={self.asset}&timestamp={int(time.time())}"
        signature = hashlib.sha1((signed + API_SECRET).encode()).hexdigest()
        fields = [*(pair.split("=") for pair in signed.split("&")), ("api_key", API_KEY), ("signature", signature)]
        head = "".join(f"{PART.format(name)}\r\n\r\n{value}\r\n" for name, value in fields)
        head += PART.format("file") + '; filename="a.jpg"\r\ncontent-type: image/jpeg\r\n\r\n'
        with open(self.path, "rb") as file:
            return b"".join((head.encode(), file.read(), b"\r\n--peers--\r\n"))

    def running(self):
        known = {"_id": self.id, "state": {"$in": ["queued", "running"]}}
        return known, {"$set": {"state": "running", "startedAt": datetime.now(UTC)}, "$inc": {"attempt": 1}}

    def ready(self, reply):
        change = {"state": "ready", "url": reply["secure_url"], "etag": reply["etag"]}
        return {"_id": ObjectId(self.asset)}, {"$set": change}

    def shown(self, reply):
        return {"_id": ObjectId(self.owner)}, {"$set": {"avatar": reply["secure_url"]}}

    def completed(self):
        return {"_id": self.id}, {"$set": {"state": "completed", "finishedAt": datetime.now(UTC)}}


def message(document):
    return {"job": document["_id"], "asset": str(document["asset"]), "owner": str(document["owner"])}


def new_document():
    return {"_id": str(ObjectId()), "state": "queued", "asset": ObjectId(), "owner": ObjectId()}


def say_and_wait(word):
    """Who measures reads the word, and answers with a line when it may go on."""
    print(word, flush=True)
    input()
