from .chat_panel import ChatPanel as ChatPanel
from .conversations import Conversations as Conversations
from .kept.store import Head as Head
from .kept.writing import Keeper as Keeper
from .kept.writing import folder_of as folder_of
from .kept.writing import notebook_path as notebook_path
from .outputs import as_cell as as_cell
from .threads import Thread as Thread
