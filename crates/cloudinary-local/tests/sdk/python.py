"""Drives cloudinary-local with Cloudinary's Python SDK.

The environment gives CLOUDINARY_URL, and PYTHONPATH, where the SDK was installed.
"""

import base64
import hashlib
import json
import os
import shutil
import sys
import tempfile
import traceback
import urllib.error
import urllib.parse
import urllib.request

import cloudinary
import cloudinary.api
import cloudinary.exceptions
import cloudinary.uploader
import cloudinary.utils

URL = urllib.parse.urlparse(os.environ["CLOUDINARY_URL"])
BASE = urllib.parse.parse_qs(URL.query)["upload_prefix"][0]
FOLDER = tempfile.mkdtemp(prefix="cloudinary-local-python-")
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def md5(data):
    return hashlib.md5(data).hexdigest()


def file(name, data):
    path = os.path.join(FOLDER, name)
    with open(path, "wb") as target:
        target.write(data)
    return path


DOT = file("dot.png", PNG)


def equal(left, right, what=""):
    if left != right:
        raise AssertionError(f"{what} {left!r} is not {right!r}")


def verified(reply):
    ok = cloudinary.utils.verify_api_response_signature(reply["public_id"], reply["version"], reply["signature"])
    equal(ok, True, f"signature of {reply['public_id']}")
    return reply


def admin(method, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{BASE}/__admin/faults", data=data, method=method)
    urllib.request.urlopen(request).read()


def fault(**spec):
    admin("DELETE")
    admin("POST", spec)


def failure(kind, call, *arguments, **options):
    try:
        reply = call(*arguments, **options)
    except Exception as error:
        # The exact class counts: all the SDK's errors are kinds of Error.
        if type(error) is not kind:
            raise
        return error
    raise AssertionError(f"succeeded: {reply}")


def delivered(url):
    return urllib.request.urlopen(url).read()


def a_plain_upload():
    reply = verified(cloudinary.uploader.upload(DOT, public_id="py/plain"))
    equal(reply["etag"], md5(PNG))
    equal((reply["width"], reply["height"], reply["format"], reply["bytes"]), (1, 1, "png", len(PNG)))
    equal(reply["original_filename"], "dot")
    equal(delivered(reply["secure_url"]), PNG)


def an_upload_with_every_kind_of_parameter():
    reply = verified(
        cloudinary.uploader.upload(
            DOT,
            public_id="my/píc 日本",
            folder="fo",
            overwrite=True,
            unique_filename=False,
            invalidate=False,
            tags=["a", "b"],
            context={"alt": "A|B=C", "k": "v & w"},
            eager=[{"width": 400, "height": 300, "crop": "pad"}],
            notification_url="https://h.example/n?a=1&b=2",
        )
    )
    equal(reply["public_id"], "fo/my/píc 日本")
    equal(reply["tags"], ["a", "b"])
    equal(reply["context"]["custom"], {"alt": "A|B=C", "k": "v & w"})
    equal(reply["eager"][0]["transformation"], "c_pad,h_300,w_400")


def raw_and_auto():
    text = file("notes.txt", b"hello")
    reply = verified(cloudinary.uploader.upload(text, resource_type="raw", public_id="py/notes.txt"))
    equal((reply["resource_type"], reply.get("format"), reply["bytes"]), ("raw", None, 5))
    equal(cloudinary.uploader.upload(text, resource_type="auto")["resource_type"], "raw")
    equal(cloudinary.uploader.upload(DOT, resource_type="auto")["resource_type"], "image")


def a_remote_file_a_data_uri_and_a_stream():
    source = cloudinary.uploader.upload(DOT, public_id="py/source")
    equal(verified(cloudinary.uploader.upload(source["secure_url"], public_id="py/remote"))["etag"], md5(PNG))
    uri = "data:image/png;base64," + base64.b64encode(PNG).decode()
    equal(cloudinary.uploader.upload(uri, public_id="py/uri")["etag"], md5(PNG))
    with open(DOT, "rb") as stream:
        equal(cloudinary.uploader.upload(stream, public_id="py/stream")["etag"], md5(PNG))


def an_unsigned_upload():
    reply = cloudinary.uploader.unsigned_upload(DOT, "open", public_id="py/unsigned")
    equal(reply["public_id"], "py/unsigned")
    error = failure(cloudinary.exceptions.BadRequest, cloudinary.uploader.unsigned_upload, DOT, "closed")
    equal(str(error), "Upload preset not found")


def an_upload_with_an_oauth_token_and_one_signed_with_sha256():
    equal(cloudinary.uploader.upload(DOT, public_id="py/oauth", oauth_token="tok")["public_id"], "py/oauth")
    cloudinary.config(signature_algorithm="sha256")
    try:
        equal(len(verified(cloudinary.uploader.upload(DOT, public_id="py/sha256"))["signature"]), 64)
    finally:
        cloudinary.config(signature_algorithm="sha1")


def chunks_one_two_three_and_an_exact_multiple():
    for size in (700, 1000, 1700, 2000, 2500, 3000):
        data = os.urandom(size)
        path = file(f"big-{size}.bin", data)
        reply = verified(cloudinary.uploader.upload_large(path, public_id=f"py/chunks-{size}.bin", chunk_size=1000))
        equal((reply["done"], reply["bytes"], reply["etag"]), (True, size, md5(data)), f"{size} bytes")
        equal(reply["public_id"], f"py/chunks-{size}.bin")
        equal(delivered(reply["secure_url"]), data)
    reply = cloudinary.uploader.upload_large(file("unnamed.bin", os.urandom(2500)), chunk_size=1000, folder="py/fo")
    equal((reply["bytes"], reply["public_id"].count("py/fo")), (2500, 1))
    equal(cloudinary.uploader.upload_large(file("empty.bin", b""), chunk_size=1000), None, "the SDK sends nothing")


def overwriting_and_keeping():
    first = cloudinary.uploader.upload(DOT, public_id="py/kept", overwrite=False)
    equal(first.get("existing"), None)
    again = verified(cloudinary.uploader.upload(DOT, public_id="py/kept", overwrite=False))
    equal((again["existing"], again["version"]), (True, first["version"]))
    replaced = verified(cloudinary.uploader.upload(DOT, public_id="py/kept"))
    equal((replaced["overwritten"], replaced["version"] > first["version"]), (True, True))


def destroying_twice():
    cloudinary.uploader.upload(DOT, public_id="py/doomed/pic")
    equal(cloudinary.uploader.destroy("py/doomed/pic", resource_type="video")["result"], "not found")
    equal(cloudinary.uploader.destroy("py/doomed/pic", invalidate=True)["result"], "ok")
    equal(cloudinary.uploader.destroy("py/doomed/pic")["result"], "not found")


def renaming_twice():
    before = cloudinary.uploader.upload(DOT, public_id="py/old")
    after = cloudinary.uploader.rename("py/old", "py/new", overwrite=True)
    equal((after["public_id"], after["asset_id"]), ("py/new", before["asset_id"]))
    error = failure(cloudinary.exceptions.NotFound, cloudinary.uploader.rename, "py/old", "py/new", overwrite=True)
    equal(str(error), "Resource not found - py/old")


def explicit_tags_and_context():
    cloudinary.uploader.upload(DOT, public_id="py/labelled")
    reply = verified(cloudinary.uploader.explicit("py/labelled", type="upload", tags=["x"]))
    equal(reply["tags"], ["x"])
    ids = ["py/labelled", "py/missing"]
    equal(cloudinary.uploader.add_tag("y", ids)["public_ids"], ["py/labelled"])
    equal(cloudinary.uploader.add_context({"k": "v"}, ids)["public_ids"], ["py/labelled"])
    equal(cloudinary.api.resource("py/labelled")["tags"], ["x", "y"])


def the_admin_api():
    equal(cloudinary.api.ping()["status"], "ok")
    equal(cloudinary.api.usage()["media_limits"]["image_max_size_bytes"] > 0, True)
    for name in "abc":
        cloudinary.uploader.upload(DOT, public_id=f"py/admin/{name}")
    one = cloudinary.api.resource("py/admin/a")
    equal((one["public_id"], one["etag"]), ("py/admin/a", md5(PNG)))
    equal(cloudinary.api.resource_by_asset_id(one["asset_id"])["public_id"], "py/admin/a")
    page = cloudinary.api.resources(type="upload", prefix="py/admin/", max_results=2)
    rest = cloudinary.api.resources(type="upload", prefix="py/admin/", next_cursor=page["next_cursor"])
    equal(len(page["resources"]) + len(rest["resources"]), 3)
    found = cloudinary.Search().expression("public_id:py/admin/*").max_results(10).execute()
    equal(found["total_count"], 3)
    deleted = cloudinary.api.delete_resources(["py/admin/a", "py/none"])
    equal(deleted["deleted"], {"py/admin/a": "deleted", "py/none": "not_found"})
    equal(len(cloudinary.api.delete_resources_by_prefix("py/admin/")["deleted"]), 2)
    error = failure(cloudinary.exceptions.NotFound, cloudinary.api.resource, "py/admin/a")
    equal("Resource not found - py/admin/a" in str(error), True, str(error))


def delivery_urls_that_the_sdk_builds():
    cloudinary.uploader.upload(DOT, public_id="py/secret", type="authenticated")
    host = {"secure": False, "cname": urllib.parse.urlparse(BASE).netloc}
    url, _ = cloudinary.utils.cloudinary_url("py/secret", type="authenticated", sign_url=True, format="png", **host)
    equal(delivered(url), PNG)
    try:
        delivered(url.replace("/s--", "/s--x"))
        raise AssertionError("delivered in spite of its signature")
    except urllib.error.HTTPError as error:
        equal(error.code, 401)


def forty_uploads_one_after_the_other():
    for number in range(40):
        cloudinary.uploader.upload(DOT, public_id=f"py/forty/{number}")


def failures_arrive_as_the_sdk_reports_them():
    def fails(kind, text):
        error = failure(kind, cloudinary.uploader.upload, DOT, public_id="py/failing", timeout=0.7)
        equal(text in str(error), True, f"{text!r} in {str(error)!r}:")

    html = "<html><body>Bad Gateway</body></html>"
    fault(effect="rate_limit", limit=500, reset_seconds=60, action="upload")
    fails(cloudinary.exceptions.RateLimited, "Rate Limit Exceeded. Limit of 500 api operations reached.")
    for status, kind in (
        (401, cloudinary.exceptions.AuthorizationRequired),
        (403, cloudinary.exceptions.NotAllowed),
        (409, cloudinary.exceptions.AlreadyExists),
        (500, cloudinary.exceptions.GeneralError),
    ):
        fault(effect="status", status=status, message="no", action="upload")
        fails(kind, "no")
    for status in (413, 502, 200):
        fault(effect="status", status=status, html=html, action="upload")
        fails(cloudinary.exceptions.Error, str(status))
    fault(effect="hang", action="upload")
    fails(cloudinary.exceptions.Error, "Read timed out")
    fault(effect="drop", at="after_storing", action="upload", times=1)
    fails(cloudinary.exceptions.Error, "")
    admin("DELETE")
    again = cloudinary.uploader.upload(DOT, public_id="py/failing", overwrite=False)
    equal((again["existing"], again["etag"]), (True, md5(PNG)))


def a_wrong_signature_in_the_reply_is_noticed():
    fault(effect="wrong_signature", action="upload", times=1)
    reply = cloudinary.uploader.upload(DOT, public_id="py/forged")
    ok = cloudinary.utils.verify_api_response_signature(reply["public_id"], reply["version"], reply["signature"])
    equal(ok, False)


STORIES = [
    a_plain_upload,
    an_upload_with_every_kind_of_parameter,
    raw_and_auto,
    a_remote_file_a_data_uri_and_a_stream,
    an_unsigned_upload,
    an_upload_with_an_oauth_token_and_one_signed_with_sha256,
    chunks_one_two_three_and_an_exact_multiple,
    overwriting_and_keeping,
    destroying_twice,
    renaming_twice,
    explicit_tags_and_context,
    the_admin_api,
    delivery_urls_that_the_sdk_builds,
    forty_uploads_one_after_the_other,
    failures_arrive_as_the_sdk_reports_them,
    a_wrong_signature_in_the_reply_is_noticed,
]


def main():
    try:
        for story in STORIES:
            try:
                story()
            except Exception:
                traceback.print_exc()
                print(f"failed: {story.__name__}", file=sys.stderr)
                return 1
            print(f"ok {story.__name__.replace('_', ' ')}", flush=True)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    print(f"all {len(STORIES)} passed")
    return 0


sys.exit(main())
