"""A student's own web server, behind the hub's proxy: its pages are on the hub's origin, and want what is another's."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPEN = "what every page of this origin may read"

_PAGE = Path(__file__).with_name("evil.html").read_text(encoding="utf-8")

_WORKER = """
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => event.respondWith(fetch(event.request)));
"""


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.cookies.append(self.headers.get("Cookie", ""))
        kind, body = "text/html", OPEN if self.path.endswith("open") else _PAGE
        if self.path.endswith("worker.js"):
            kind, body = "text/javascript", _WORKER
        self.send_response(200)
        self.send_header("Content-Type", kind)
        # What keeps a page apart from those that it opens keeps it together with those that say the same.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin" if "policy" in self.path else "unsafe-none")
        self.send_header("Service-Worker-Allowed", "/")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        """Nothing."""


class EvilServer:
    """Serves until the end of the block."""

    def __enter__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
        self._server.daemon_threads = True
        self.cookies = self._server.cookies = []  # what browsers sent
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
