"""Sends requests as programs with this library do, all at once, and prints what each is answered."""

import concurrent.futures
import json
import os
import sys
import time

library, script = sys.argv[1:]


class Body:
    """Comes in pieces, at so many bytes a second or as fast as it can."""

    def __init__(self, path, rate):
        self.path, self.rate = path, rate

    def __iter__(self):
        size = self.rate // 8 if self.rate else 65536
        with open(self.path, "rb") as file:
            while piece := file.read(size):
                if self.rate:
                    time.sleep(size / self.rate)
                yield piece


class Declared(Body):
    """Its length is known, so it is declared."""

    def __len__(self):
        return os.path.getsize(self.path)


def send(request):
    headers = dict(request["headers"])
    if request["expect"]:
        headers["Expect"] = "100-continue"
    if library == "httpx":
        import httpx

        if request["declared"]:
            headers["Content-Length"] = str(len(Declared(request["file"], 0)))
        body = iter(Body(request["file"], request["rate"]))
        answer = httpx.request(request["method"], request["url"], headers=headers, content=body, timeout=60)
    else:
        import requests

        kind = Declared if request["declared"] else Body
        body = kind(request["file"], request["rate"])
        answer = requests.request(request["method"], request["url"], headers=headers, data=body, timeout=60)
    return f"{answer.status_code} {answer.json()['type']}"


def tried(request):
    try:
        return send(request)
    except Exception as error:
        return repr(error)


with open(script) as file:
    requests_to_send = json.load(file)
with concurrent.futures.ThreadPoolExecutor(len(requests_to_send)) as threads:
    print(json.dumps(list(threads.map(tried, requests_to_send))))
