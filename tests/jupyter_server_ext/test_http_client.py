"""Either HTTP client library serves: httpx, and its fork httpx2 in its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
ASK = """
import asyncio, importlib, sys
library = sys.modules["httpx"] = importlib.import_module(sys.argv[1])
from contextlib import aclosing
from simulated_provider import Fault, SimulatedProvider
from jupyter_server_ext.config import KeySettings, Secret, Settings
from jupyter_server_ext.http_client import httpx
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.pipeline import Gateway

async def main():
    async with SimulatedProvider() as provider:
        keys = tuple(KeySettings("sim", Secret(f"k{n}"), provider.url, name=f"k{n}", models=("m",)) for n in range(3))
        gateway = Gateway(Settings(keys=keys))
        assert httpx is library
        for stream, faults in ((True, ()), (False, ()), (True, ("reset", "cut")), (False, ("reset", "cut"))):
            for fault in faults:
                provider.next("m", Fault(fault))
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
            request = ChatRequest("m", body, stream=stream, whole=True)
            async with aclosing(gateway.complete(Caller("ada"), request)) as answer:
                text = b"".join([part async for part in answer if isinstance(part, bytes)])
            assert b'"attempts":%d' % (1 + len(faults)) in text, text
        await gateway.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_either_library_serves(library, programs):
    pytest.importorskip(library)
    command = [sys.executable, "-W", "ignore", "-c", ASK, library]
    ran = subprocess.run(command, check=False, cwd=TESTS, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr[-2000:]
