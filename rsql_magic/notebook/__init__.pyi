from .magics import load as load
from .magics import loaded as loaded
from .magics import unload as unload
