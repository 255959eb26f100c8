from .answer import answer as answer
from .transport import OfflineTransport as OfflineTransport
