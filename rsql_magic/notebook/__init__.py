"""The magics as people type them: ``%%ask``, ``%%sql_ai``, ``%ask``, ``%sql_ai`` and ``%rsql``.

Lines are parsed into options here, completed by Tab, and handed to the assistant; what comes back is shown or bound to
a name. Everything that needs an IPython shell beyond its namespace is in this room.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
