from . import verified as verified
from .prompt import Linked as Linked
from .prompt import SchemaPrompt as SchemaPrompt
from .query_options import QueryOptions as QueryOptions
from .query_options import refuse_no_time as refuse_no_time
from .results import SQLResult as SQLResult
from .results import saved_as as saved_as
from .writer import Writer as Writer
