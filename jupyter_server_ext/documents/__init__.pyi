from .documents import Documents as Documents
from .values import Found as Found
from .values import NewDocument as NewDocument
from .values import SharedDocument as SharedDocument
from .values import SharedPassage as SharedPassage
from .values import read_document as read_document
