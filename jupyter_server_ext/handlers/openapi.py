"""The routes as an OpenAPI document, made from what their handlers say of themselves."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_server_ext.handlers.base import installed_version
from jupyter_server_ext.handlers.described import Description, description_of
from jupyter_server_ext.identity import scopes_needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_server_ext.handlers.routes import Route

_METHODS = ("get", "post", "put", "patch", "delete")
_TEXT = {"type": "string"}
_REFERENCE = "#/components/schemas/{name}"
_ANY = Description(dict[str, Any])


def operations(routes: tuple[Route, ...]) -> Iterator[tuple[Route, str, tuple[str, ...], str]]:
    """Each method of each route: route, method, the scopes of which it needs one (empty for none), what it does."""
    for route in routes:
        for name in _METHODS:
            method = getattr(route.handler, name)
            scopes = scopes_needed(method)
            if scopes is not None:
                yield route, name.upper(), scopes, inspect.getdoc(method) or ""


def openapi(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The routes as an OpenAPI 3.1 document: https://spec.openapis.org/oas/v3.1.0."""
    from jupyter_server_ext.handlers.routes import ROUTE_GROUPS as groups  # noqa: N811 - it imports the handlers

    found = [*operations(routes)]
    told = [description_of(getattr(route.handler, method.lower())) or _ANY for route, method, _, _ in found]
    types = [one.reply for one in told if not isinstance(one.reply, str)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_type = {id(one): schema for one, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for (route, method, scopes, doc), description in zip(found, told, strict=True):
        reply = by_type.get(id(description.reply))
        paths.setdefault(f"/{route.path}", {})[method.lower()] = _operation(route, method, doc, description, reply) | {
            "security": [{"token": [scope]} for scope in scopes],
            # Programs that are generated of this take the first.
            "tags": ["admin" if route.path.startswith("admin/") else "chat", route.group],
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "rsql gateway", "version": installed_version()},
        "tags": [{"name": name, "description": what} for name, (what, _) in groups.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**components, "Error": _ERROR},
        },
    }


def _operation(
    route: Route, method: str, doc: str, description: Description, reply: dict[str, Any] | None
) -> dict[str, Any]:
    summary, _, more = doc.partition("\n\n")
    content = {"application/json": {"schema": reply}} if reply is not None else {description.reply: {"schema": _TEXT}}
    operation: dict[str, Any] = {
        "operationId": _name_of(method, route.path),
        "summary": summary,
        "description": more,
        "parameters": [*_in_path(route), *_in_query(description)],
        "responses": {str(description.status): {"description": "The answer.", "content": content}, **_OTHERWISE},
    }
    if route.body and method in {"POST", "PUT", "PATCH"}:
        form = {"schema": {"type": "object", **route.body}}
        operation["requestBody"] = {"required": True, "content": {"application/json": form}}
    return operation


def _in_path(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1} | _among(form)}
        for name, form in route.variables.items()
    ]


def _among(form: str) -> dict[str, Any]:
    # The words that a part may be, where its form is a list of them.
    return {"enum": form.split("|")} if re.fullmatch(r"\w+(?:\|\w+)*", form) else {}


def _in_query(description: Description) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "in": "query", "required": False, "description": one.about, "schema": dict(one.schema)}
        for one in description.parameters
    ]


def _name_of(method: str, path: str) -> str:
    words = re.findall(r"\w+", path.replace("openapi.json", "openapi"))
    return "_".join([method.lower(), *words]) if words else f"{method.lower()}_root"


_ERROR_FIELDS = {
    **dict.fromkeys(("message", "type", "code"), _TEXT),
    "param": {"type": ["string", "null"]},
    "request_id": _TEXT,
    "retry_after": {"type": "number", "description": "Seconds."},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "object", "required": ["message", "type", "code"], "properties": _ERROR_FIELDS},
    },
}
_OTHERWISE = {
    "default": {
        "description": "An error.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    },
}
