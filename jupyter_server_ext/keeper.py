"""`jupyter_server_ext.app.supervisor` under its published path, for hub configurations that start it by name."""

import sys

from jupyter_server_ext.app.supervisor import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
