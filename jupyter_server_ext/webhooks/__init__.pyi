from .outbox import Delivery as Delivery
from .outbox import SqlOutbox as SqlOutbox
from .sender import WebhookSender as WebhookSender
from .sinks import plugged_sinks as plugged_sinks
from .watch import EventDetector as EventDetector
from .webhooks import EVENTS as EVENTS
from .webhooks import Event as Event
from .webhooks import Webhooks as Webhooks
