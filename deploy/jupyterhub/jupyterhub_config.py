"""The gateway as a service of this hub: add these lines to the end of your jupyterhub_config.py.

They need this package in the hub's environment (it starts the service) and in the users' (for the
magics). The same written out, without the function, is in jupyterhub_config_explicit.py.
"""

from jupyter_server_ext.app.jupyterhub import configure

c = get_config()  # noqa: F821

configure(c, config="/etc/jupyterhub/rsql.toml")
