"""Every error the gateway answers with. A handler turns any of them into JSON without a table of its own."""

#     RsqlGatewayError
#     ├── BadRequest             400   a field is wrong; ``param`` names it
#     │   └── TooLarge             413
#     ├── NotAuthenticated       401
#     ├── NotPermitted           403   the token lacks a scope, or the tenant may not use this
#     ├── UnknownModel           404
#     ├── LimitExceeded          429   the caller's own limit, budget or quota
#     ├── NoCapacity             503   no key can answer in time, or none is left; 429 when all keys are cooling
#     ├── UpstreamRefused        4xx   the provider found the caller's request at fault: its words, its status
#     ├── UpstreamFailed         502   the provider failed and no other key or model could help
#     ├── UpstreamTimeout        504   the provider stayed silent
#     └── ConfigError                  rsql.toml or the environment is wrong; the gateway does not start
#
# ``message`` is public: it holds no key, token, password or upstream address. The shape of the JSON is OpenAI's, which
# clients understand: https://platform.openai.com/docs/guides/error-codes

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class RsqlGatewayError(Exception):
    """The base of all errors of the gateway.

    Example:
        >>> BadRequest("'messages' must be a list.", param="messages").as_json("req-1")["error"]["param"]
        'messages'
    """

    status: int = 500
    code: str = "internal_error"
    type: ClassVar[str] = "server_error"
    cost_nanodollars: int = 0  # what was paid at providers for a request that ended so

    def __init__(
        self,
        message: str,  # public text: what went wrong and what to do next
        *,
        param: str | None = None,  # the field of the request that is at fault
        retry_after: float | None = None,  # seconds until a repeat can succeed
        code: str | None = None,  # machine-readable code, when it differs from the class's
        status: int | None = None,  # HTTP status, when it differs from the class's
        recorded: str | None = None,  # what the ledger keeps, when the message quotes others
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.code = code or type(self).code
        self.status = status or type(self).status
        self.recorded = message if recorded is None else recorded

    def as_json(self, request_id: str) -> dict[str, Any]:
        """The error in OpenAI's shape, with the request's id and when to come back."""
        error = {name: getattr(self, name) for name in ("message", "type", "code", "param")}
        error["request_id"] = request_id
        if self.retry_after is not None:
            error["retry_after"] = round(self.retry_after, 3)
        return {"error": error}

    def as_event(self, request_id: str) -> bytes:
        """The error as an event of a stream that has begun, with the status that a reply would have had.

        Example:
            >>> NoCapacity("No key is free.").as_event("req-1").split(b",")[-1].strip()
            b'"status":503}}'
        """
        said = self.as_json(request_id)
        said["error"]["status"] = self.status
        return b"data: " + msgspec.json.encode(said) + b"\n\n"


class BadRequest(RsqlGatewayError):
    """A field of the request is wrong."""

    status, code, type = 400, "invalid_request", "invalid_request_error"


class TooLarge(BadRequest):
    """The body is over the size limit."""

    status, code = 413, "request_too_large"


class NotAuthenticated(RsqlGatewayError):
    """No token, or an unknown one."""

    status, code, type = 401, "invalid_token", "authentication_error"


class NotPermitted(RsqlGatewayError):
    """The token is known, and not allowed to do this."""

    status, code, type = 403, "not_permitted", "permission_error"


class ModelNotServed(RsqlGatewayError):
    """No key serves the model, or the tenant may not use it."""

    status, code, type = 404, "model_not_found", "invalid_request_error"


class LimitExceeded(RsqlGatewayError):
    """The caller's own limit, budget or quota is used up; ``limit`` names its kind, such as ``tenant requests day``."""

    limit: str = ""

    status, code, type = 429, "rate_limit_exceeded", "rate_limit_error"


class NoCapacity(RsqlGatewayError):
    """No key can answer before the request's deadline."""

    status, code, type = 503, "no_capacity", "capacity_error"


class UpstreamRefused(RsqlGatewayError):
    """The provider found the caller's own request at fault; its status and words are passed on."""

    status, code, type = 400, "upstream_refused", "invalid_request_error"


class UpstreamFailed(RsqlGatewayError):
    """The provider failed, and no other key or model could help."""

    status, code, type = 502, "upstream_failed", "upstream_error"


class UpstreamTimeout(UpstreamFailed):
    """The provider stayed silent."""

    status, code = 504, "upstream_timeout"


class ConfigError(RsqlGatewayError):
    """The configuration is wrong; the message names file, line and what was expected, and never a key."""

    code = "config_error"


class CannotOpen(ConfigError):
    """There is no place for a ledger: no permission, no such folder, no server."""


class LedgerUnavailable(RsqlGatewayError):
    """The ledger cannot be written, so no new work is taken: what is not recorded must not happen."""

    status, code = 503, "ledger_unavailable"
