"""`jupyter_server_ext.app.jupyterhub` under its published path, for ``jupyterhub_config.py``."""

from jupyter_server_ext.app.jupyterhub import configure

__all__ = ["configure"]
