from .cell import Study as Study
from .cell import StudyWriter as StudyWriter
from .proving import run_apart as run_apart
from .sheet import MOST as MOST
from .sheet import Kind as Kind
