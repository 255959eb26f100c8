"""Requests as traces of OpenTelemetry, by its conventions for generative AI; loaded only where they are wanted."""

# A span is made when its request has ended, of what the ledger's entry says anyway: while a request is under way
# nothing is spent on it. https://opentelemetry.io/docs/specs/semconv/gen-ai/, https://www.w3.org/TR/trace-context/

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, SpanKind

    from jupyter_server_ext.config import TelemetrySettings
    from jupyter_server_ext.messages import ChatRequest, Entry

_LONGEST_TEXT = 20_000  # letters of the messages on a span
_LOW = (1 << 64) - 1
_SAMPLED = 1  # the flag of Trace Context


class Place(NamedTuple):
    """Where a request stands in a trace."""

    trace: int  # the trace's id
    parent: int = 0  # id of the caller's span; 0 where the trace begins here


class Traces:
    """Makes spans of a sample of all requests and sends them over OTLP, in a thread of its own.

    Args:
        settings: Where to, and of how many requests.
        exporter: In place of OTLP; it is given each span at once.

    Raises:
        ConfigError: The packages of the extra ``telemetry`` are not installed.
    """

    def __init__(self, settings: TelemetrySettings, exporter: SpanExporter | None = None) -> None:
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
            from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError:
            words = "[telemetry] needs OpenTelemetry. Install it: pip install 'rsql-jupyter[telemetry]'"
            raise ConfigError(words) from None

        class GivenIds(RandomIdGenerator):
            """Ids of traces that are known before their first span is made."""

            trace = 0

            def generate_trace_id(self) -> int:
                return self.trace or super().generate_trace_id()

        self._content = settings.content
        self._bound = round(settings.sample * (_LOW + 1))
        self._ids = GivenIds()
        resource = Resource.create({"service.name": settings.service})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        if exporter is not None:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        else:
            endpoint = f"{settings.endpoint.rstrip('/')}/v1/traces"
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("rsql")

    def place(self, traceparent: str) -> Place | None:
        """Where a request stands, by its ``traceparent``; None for one that is not in the sample.

        The sample is taken by the trace's id, so that notebook and gateways keep the same traces; what the caller
        leaves out is left out here.
        """
        if not traceparent:
            trace = random.getrandbits(128) or 1
            return Place(trace) if trace & _LOW < self._bound else None
        trace = int(traceparent[3:35], 16)
        if not int(traceparent[53:55], 16) & _SAMPLED or trace & _LOW >= self._bound:
            return None
        return Place(trace, int(traceparent[36:52], 16))

    def export(
        self,
        place: Place,
        entry: Entry,
        tries: Sequence[Entry],
        providers: Mapping[str, str],
        request: ChatRequest,
        *,
        content: bool,
    ) -> None:
        """Make the spans of a request that has ended: one of its own, and one of each try.

        Args:
            place: Where it stands.
            entry: What the ledger keeps of it.
            tries: The same of tries that were followed by others, in order.
            providers: The provider of each key, by its public id.
            request: What was asked.
            content: Whether policy keeps its text, which is on the span if the settings say so as well.
        """
        from opentelemetry.trace import SpanKind, set_span_in_context

        end = entry.at + entry.duration_seconds
        operation = "embeddings" if request.embeds else "chat"
        known: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.request.model": request.model,
            "gen_ai.response.model": entry.model,
            "rsql.task": entry.task,
            "rsql.tenant": entry.tenant,
            "rsql.request_id": entry.request_id,
            "rsql.outcome": entry.outcome,
            "rsql.queue_seconds": entry.queue_seconds,
            "rsql.cache": entry.cache,
        }
        if entry.session:
            known["gen_ai.conversation.id"] = entry.session
        if content and self._content:
            known["gen_ai.input.messages"] = msgspec.json.encode(request.body.get("messages")).decode()[:_LONGEST_TEXT]
        root = self._span(SpanKind.SERVER, _context_of(place), known, entry, (place, entry.at))
        last = [(entry, end - entry.upstream_seconds)] if entry.attempts else []
        below = set_span_in_context(root)
        for attempt, start in [*((one, one.at) for one in tries), *last]:
            of_try = {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": providers.get(attempt.key, ""),
                "gen_ai.request.model": attempt.model,
                "rsql.key": attempt.key,
                "rsql.attempt": attempt.attempt,
            }
            span = self._span(SpanKind.CLIENT, below, of_try, attempt, (place, start))
            span.end(_nanoseconds(start + attempt.upstream_seconds))
        root.end(_nanoseconds(end))

    def _span(
        self, kind: SpanKind, context: Context, attributes: dict[str, Any], entry: Entry, begun: tuple[Place, float]
    ) -> Span:
        # A span that has begun at a Unix time of a place in a trace.
        from opentelemetry.trace import Status, StatusCode

        usage, (place, start) = entry.usage, begun
        attributes["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = usage.completion_tokens
        if entry.status:
            attributes["http.response.status_code"] = entry.status
        if entry.error:
            attributes["error.type"] = entry.error
        name = f"{attributes['gen_ai.operation.name']} {attributes['gen_ai.request.model']}"
        self._ids.trace = place.trace
        span = self._tracer.start_span(name, context, kind, attributes, start_time=_nanoseconds(start))
        if entry.error:
            span.set_status(Status(StatusCode.ERROR, entry.error_text or entry.error))
        return span

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _context_of(place: Place) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if not place.parent:
        return Context()
    parent = SpanContext(place.trace, place.parent, is_remote=True, trace_flags=TraceFlags(_SAMPLED))
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _nanoseconds(at: float) -> int:
    return round(at * 1e9)
