from .transport import OfflineTransport as OfflineTransport
from .transport import answer as answer
