from .cell import Study as Study
from .cell import StudyWriter as StudyWriter
from .sheet import MOST as MOST
from .sheet import Kind as Kind
