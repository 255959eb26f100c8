from .look import LookAt as LookAt
from .looking import Looking as Looking
from .looking import Tool as Tool
from .plugged import plugged_tools as plugged_tools
from .view import DatabaseView as DatabaseView
from .view import of_database as of_database
