"""A cell as a trace of OpenTelemetry, which goes on in the gateway; nothing is loaded where nobody asked for it."""

# ``RSQL_TRACES=0.1`` in the environment makes a trace of one cell in ten. Where they go to is said by OpenTelemetry's
# own variables, such as ``OTEL_EXPORTER_OTLP_ENDPOINT``.

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

VARIABLE = "RSQL_TRACES"

_cell: ContextVar[Any] = ContextVar("rsql_cell_span", default=None)
_tracer: Any = None


def start(exporter: Any = None, sample: float | None = None) -> None:
    """Have cells traced from now on; they are sent over OTLP where no exporter is given.

    Raises:
        ImportError: The packages of the extra ``telemetry`` are not installed.
    """
    global _tracer  # noqa: PLW0603 - one process has one notebook
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

    share = _share() if sample is None else sample
    provider = TracerProvider(
        sampler=TraceIdRatioBased(share), resource=Resource.create({"service.name": "rsql-notebook"})
    )
    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    else:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    _tracer = provider.get_tracer("rsql")


def stop() -> None:
    """Trace no more."""
    global _tracer  # noqa: PLW0603
    _tracer = None


def _share() -> float:
    try:
        return min(1.0, max(0.0, float(os.environ.get(VARIABLE, "0"))))
    except ValueError:
        return 0.0


@contextmanager
def cell(name: str) -> Iterator[None]:
    """One cell: what it asks is part of its trace, if it is in the sample.

    Example:
        >>> with cell("sql_ai"):
        ...     pass
    """
    global _tracer  # noqa: PLW0603
    if _tracer is None and VARIABLE in os.environ and _share() > 0:
        try:
            start()
        except ImportError:
            _tracer = False  # what is not installed is not looked for again
    if not _tracer or _cell.get() is not None:
        yield
        return
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": f"rsql {name}"}
    with _tracer.start_as_current_span(f"invoke_agent rsql {name}", attributes=attributes) as span:
        token = _cell.set(span)
        try:
            yield
        finally:
            _cell.reset(token)


_OPERATIONS = {"/chat/completions": "chat", "/embeddings": "embeddings"}  # by the end of a path


def _model_of(body: bytes) -> str:
    try:
        named = json.loads(body).get("model")
    except (ValueError, AttributeError):
        named = None
    return named if isinstance(named, str) and named else "default"


class Asked:
    """One request to the gateway, as a part of the cell that is running; nothing where none is traced.

    What a model answers is a span ``chat MODEL`` or ``embeddings MODEL``, by the conventions for generative AI; any
    other request is a span of HTTP, such as ``GET``.
    """

    def __init__(self, request: httpx.Request) -> None:
        self._span: Any = None
        self.traceparent = ""  # what the gateway is told; empty for nothing
        if (of_cell := _cell.get()) is not None and of_cell.is_recording():
            from opentelemetry.trace import SpanKind, set_span_in_context

            path = request.url.path
            operation = next((name for end, name in _OPERATIONS.items() if path.endswith(end)), "")
            if operation:
                model = _model_of(request.content)
                attributes = {"gen_ai.operation.name": operation, "gen_ai.request.model": model}
                name = f"{operation} {model}"
            else:
                attributes = {"http.request.method": request.method, "url.path": path}
                name = request.method  # by the conventions for HTTP, as paths may name people's things
            below = set_span_in_context(of_cell)
            self._span = _tracer.start_span(name, below, SpanKind.CLIENT, attributes)
            known = self._span.get_span_context()
            self.traceparent = f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags:02x}"

    def end(self, error: BaseException | None = None) -> None:
        """The reply has ended, or failed."""
        if self._span is not None:
            if error is not None:
                self._span.set_attribute("error.type", type(error).__name__)
            self._span.end()
