"""A provider's HTTP handler that sends whole replies and logs nothing."""

from __future__ import annotations


class WholeReplies:
    """Beside `BaseHTTPRequestHandler`, of those that say in ``do_GET`` and ``do_POST`` what to send."""

    def whole(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
