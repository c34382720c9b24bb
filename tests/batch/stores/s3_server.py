"""A server of the S3 protocol, twice on the same buckets: plain, and with what a store may do to who asks it.

Run by conftest.py; it prints both ports. What the second one does is set by `PUT /-/faults` and what it was asked for
is told by `GET /-/counts`, which begins anew; `PUT /-/load` is for many objects at once.
"""

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Lock, Thread

from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

BODY = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>%s</Message></Error>"
ERRORS = {
    500: ("500 Internal Server Error", BODY % (b"InternalError", b"We encountered an internal error.")),
    503: ("503 Slow Down", BODY % (b"SlowDown", b"Please reduce your request rate.")),
    403: ("403 Forbidden", BODY % (b"AccessDenied", b"Access Denied")),
}
NONE = {"share": 0.0, "slow": 0.0, "refuse": {}, "cut": [], "pause": 0.0}


class Faulty:
    """`share` of the requests fail with 500 or 503, as many are `slow`; some keys are refused, or cut off.

    `pause` is what each request waits before it is done.
    """

    def __init__(self, app):
        self.app, self.faults, self.counts, self.lock = app, dict(NONE), Counter(), Lock()
        self.random = random.Random(0)

    def __call__(self, environ, start_response):
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path == "/-/faults":
            self.faults = NONE | json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            return answer(start_response, "200 OK", b"")
        if path == "/-/load":
            load(**json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
            return answer(start_response, "200 OK", b"")
        if path == "/-/counts":
            counts, self.counts = self.counts, Counter()
            return answer(start_response, "200 OK", json.dumps(counts).encode())
        key = path.encode("latin-1").decode()
        faults = self.faults
        is_list = method == "GET" and "list-type" in environ.get("QUERY_STRING", "")
        with self.lock:
            self.counts["LIST" if is_list else method] += 1
            drawn = self.random.random()
        time.sleep(faults["pause"])
        refused = next((status for end, status in faults["refuse"].items() if key.endswith(end)), None)
        if refused is None and drawn < faults["share"]:
            refused = 500 if drawn < faults["share"] / 2 else 503
        elif drawn > 1 - faults["slow"]:
            time.sleep(0.3)
        if refused is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, content = ERRORS[refused]
            return answer(start_response, status, b"" if method == "HEAD" else content)
        if method == "GET" and not is_list and any(key.endswith(end) for end in faults["cut"]):
            return [b"".join(self.app(environ, start_response))[:-7]]
        return self.app(environ, start_response)


def load(bucket, folder, prefix):
    """A folder's files become objects, without a request each."""
    for file in sorted(Path(folder).rglob("*")):
        if file.is_file():
            key = f"{prefix}/{file.relative_to(folder).as_posix()}"
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, file.read_bytes())


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


def answer(start_response, status, content):
    start_response(status, [("Content-Length", str(len(content))), ("Content-Type", "application/xml")])
    return [content]


if __name__ == "__main__":
    app = DomainDispatcherApplication(create_backend_app)
    servers = [make_server("127.0.0.1", 0, one, threaded=True, request_handler=Quiet) for one in (app, Faulty(app))]
    for server in servers:
        Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(" ".join(str(server.server_port) for server in servers) + "\n")
    sys.stdout.flush()
    sys.stdin.read()  # until who started it ends
