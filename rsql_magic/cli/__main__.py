"""The ``rsql`` command by ``python -m rsql_magic.cli``."""

import sys

from rsql_magic.cli import main

sys.exit(main(sys.argv[1:]))
