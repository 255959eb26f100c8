from .look import LookAt as LookAt
from .looking import Looking as Looking
from .looking import Tool as Tool
from .view import DatabaseView as DatabaseView
from .view import of_database as of_database
