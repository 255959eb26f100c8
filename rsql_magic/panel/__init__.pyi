from .chat_panel import ChatPanel as ChatPanel
from .outputs import as_cell as as_cell
