"""The gateway's description of itself, derived from its routes: ``openapi.json`` for programs, ``docs`` for people."""

from __future__ import annotations

import inspect
import re
from html import escape
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.handlers.app_context import installed_version
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.home import page_of
from jupyter_server_ext.identity import needs_scope, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_server_ext.handlers.routes import Route

_METHODS = ("get", "post", "delete")  # of routes; the others are aliases of these
_TEXT = {"type": "string"}


def operations(routes: tuple[Route, ...]) -> Iterator[tuple[Route, str, str, str]]:
    """Each method of each route: route, method, scope (empty for none), what it does."""
    for route in routes:
        # Of several names for one method, such as put and patch, one is shown.
        for name in _METHODS:
            method = getattr(route.handler, name)
            scope = scope_of(method)
            if scope is not None:
                yield route, name.upper(), scope, inspect.getdoc(method) or ""


def openapi(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The routes as an OpenAPI 3.1 document: https://spec.openapis.org/oas/v3.1.0."""
    paths: dict[str, dict[str, Any]] = {}
    for route, method, scope, doc in operations(routes):
        summary, _, more = doc.partition("\n\n")
        operation: dict[str, Any] = {"summary": summary, "description": more, "responses": _RESPONSES}
        operation["security"] = [{"token": [scope]}] if scope else []
        operation["parameters"] = [{"name": n, "in": "path", "required": True, "schema": _TEXT} for n in route.names]
        if route.body:
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object", **route.body}}},
            }
        paths.setdefault(f"/{route.path}", {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "rsql gateway", "version": installed_version()},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
        },
    }


def _in_html(doc: str) -> str:
    """A docstring: its paragraphs, and what stands in backticks as code."""
    coded = re.sub(r"(`{1,2})(.+?)\1", r"<code>\2</code>", escape(doc), flags=re.S)
    return "".join(f"<p>{paragraph}</p>" for paragraph in coded.split("\n\n"))


_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "code": _TEXT,
                "param": {"type": ["string", "null"]},
                "request_id": _TEXT,
                "retry_after": {"type": "number", "description": "Seconds."},
            },
        }
    },
}


_RESPONSES = {
    "200": {"description": "The answer."},
    "default": {
        "description": "An error.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    },
}


class OpenApi(GatewayHandler):
    """``GET openapi.json``."""

    @needs_scope("chat")
    def get(self) -> None:
        """This gateway's routes as an OpenAPI document."""
        self.reply(openapi(self.app.routes))


class Docs(GatewayHandler):
    """``GET docs``."""

    @needs_scope("chat")
    def get(self) -> None:
        """This gateway's routes as a page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(page_of("docs", operations=operations(self.app.routes), in_html=_in_html))
