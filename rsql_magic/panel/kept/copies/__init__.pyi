from .conversations import ConversationCopies as ConversationCopies
from .known import KnownCopies as KnownCopies
