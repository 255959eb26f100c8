"""A gateway as a program of its own, to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys


@contextlib.asynccontextmanager
async def gateway(config):
    """Its process and its URL; what is left of it is killed at the end."""
    environment = {**os.environ, "JUPYTER_TOKEN": "owner-token"}
    command = [sys.executable, "-P", "-m", "jupyter_server_ext", "--port", "0", "--gateway-config", str(config)]
    pipes = {"stdout": subprocess.PIPE, "text": True}
    process = await asyncio.to_thread(subprocess.Popen, command, env=environment, **pipes)
    try:
        line = await asyncio.to_thread(process.stdout.readline)
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
