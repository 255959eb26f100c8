"""Many connections: the gateway has fewer than it may open, answers ``health`` on more, and says little of them."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import httpx
import pytest

from jupyter_server_ext.handlers import BoundedServer, connections, most_connections
from jupyter_server_ext.handlers.connections import PatientSocket

FILES = 256


@contextmanager
def gateway(folder, files=FILES):
    """A gateway of its own that may open so few files, and its port."""
    (folder / "rsql.toml").write_text('[storage]\nledger = "memory://"\n')
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))"
    program = f"{limited}; from jupyter_server_ext.app import main; main()"
    command = [sys.executable, "-c", program, "--port", "0", "--gateway-config", "rsql.toml"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"JUPYTER_TOKEN": "secret-token"},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield int(process.stdout.readline().rsplit(":", 1)[1].split("/")[0])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


def healthy(port):
    return httpx.get(f"http://127.0.0.1:{port}/rsql/health", trust_env=False, timeout=5).status_code == 200


def asked(port):
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    headers = {"Authorization": "Bearer secret-token"}
    url = f"http://127.0.0.1:{port}/rsql/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=240)


def open_many(port, number, begin=b""):
    """Connections that are held; those that the gateway closes at once are among them."""
    held = []
    for _ in range(number):
        one = socket.create_connection(("127.0.0.1", port), timeout=240)
        held.append(one)
        if begin:
            one.sendall(begin)
    return held


def test_more_connections_than_files_leave_health_and_little_log(programs, tmp_path):
    with gateway(tmp_path) as port:
        assert asked(port).status_code == 200
        held = open_many(port, 2 * FILES, b"GET /rsql/health HTTP/1.1\r\nHost: x\r\nX-Slow: a")
        time.sleep(0.3)
        assert healthy(port)
        refused = asked(port)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "too_many_connections")
        for one in held:
            one.close()
        time.sleep(0.5)
        assert asked(port).status_code == 200
        for begin in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET nothing\r\n\r\n", b"POST /rsql/chat HTTP/1.1\r\nContent-"):
            for one in open_many(port, 150, begin):
                one.close()
        assert healthy(port)
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) < 60, lines[:80]
    assert sum("connections are taken" in line for line in lines) == 1


def test_there_are_fewer_connections_than_files(monkeypatch):
    for files in (128, 1024, 65_536):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert 0 < most_connections() < files


def test_a_socket_that_cannot_accept_closes_what_comes_and_goes_on(monkeypatch):
    with PatientSocket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(True)
        with socket.create_connection(listening.getsockname()) as client:
            first = iter([OSError(errno.EMFILE, "too many open files")])
            real = socket.socket.accept

            def accept(one):
                if error := next(first, None):
                    raise error
                return real(one)

            monkeypatch.setattr(socket.socket, "accept", accept)
            with pytest.raises(BlockingIOError):
                listening.accept()
            client.settimeout(5)
            assert client.recv(1) == b"", "it was closed"
        with socket.create_connection(listening.getsockname()), closing(listening.accept()[0]):
            pass


class FakeStream:
    def __init__(self):
        self.is_closed = False

    def close(self):
        self.is_closed = True


@pytest.mark.parametrize(("limit", "address", "taken"), [(2, "10.0.0.9", 2), (0, "10.0.0.9", 5), (2, "127.0.0.1", 5)])
def test_an_address_has_its_part_unless_a_proxy_stands_before(monkeypatch, limit, address, taken):
    served = []
    monkeypatch.setattr(connections.HTTPServer, "handle_stream", lambda _, stream, address: served.append(stream))
    server = BoundedServer(lambda request: None)
    server.bound(100, limit)
    streams = [FakeStream() for _ in range(5)]
    for stream in streams:
        server.handle_stream(stream, (address, 1))
    assert len(served) == taken
    assert [stream.is_closed for stream in streams] == [False] * taken + [True] * (5 - taken)
