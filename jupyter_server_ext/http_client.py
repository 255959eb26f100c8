"""The HTTP client library of the gateway, imported here only."""

# It is httpx; its maintained fork httpx2 has the same names, and one line here changes to it. See
# docs/decisions/0016-http-client-library.md.

import httpx as httpx  # noqa: PLC0414  (for all other modules)
