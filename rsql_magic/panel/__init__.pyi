from .chat_panel import ChatPanel as ChatPanel
from .exporting import as_cell as as_cell
