from .dictionary import Dictionary as Dictionary
from .documents.library import Added as Added
from .documents.library import Embedder as Embedder
from .documents.library import Hits as Hits
from .documents.library import Library as Library
from .documents.passages import Passage as Passage
from .documents.ranking import terms as terms
from .documents.store import Stored as Stored
