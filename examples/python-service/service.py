"""Answers GET / with a greeting and counts its visitors, on port 8000 of its machine."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

PORT = 8000
visitors = count(1)


def answer(greeting: str, visitor: int) -> bytes:
    """The body of an answer."""
    return json.dumps({"greeting": greeting, "visitor": visitor}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers every path alike."""

    def do_GET(self) -> None:  # noqa: N802, the library's name
        body = answer(os.environ.get("GREETING", "hi"), next(visitors))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
