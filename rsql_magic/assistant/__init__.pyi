from .assistant import Assistant as Assistant
from .assistant import of_process as of_process
from .assistant import row_map as row_map
from .documents import DOCUMENTS as DOCUMENTS
from .shown import ending as ending
