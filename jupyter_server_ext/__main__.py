"""``python -m jupyter_server_ext`` is ``jupyter rsql``, also where no script of that name is on the path."""

from jupyter_server_ext.app import main

if __name__ == "__main__":
    main()
