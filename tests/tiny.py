"""A WSGI application that tells what the server showed it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        Path(environ["QUERY_STRING"]).touch()
        while Path(environ["QUERY_STRING"]).exists():  # until the test lets it go
            time.sleep(0.02)
    if environ["PATH_INFO"] == "/die":
        os._exit(3)
    length = environ.get("CONTENT_LENGTH")
    told = {
        "body": environ["wsgi.input"].read(int(length or 0)).decode(),
        "length": length,
        "pid": os.getpid(),
        "scheme": environ["wsgi.url_scheme"],
        "peer": environ["REMOTE_ADDR"],
        "headers": {name: value for name, value in environ.items() if name.startswith("HTTP_X")},
    }
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


if os.environ.get("TINY_CANNOT_START"):
    sys.exit("no")
