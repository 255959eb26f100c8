"""A gateway that the hub does not start, such as one under systemd or in a container of its own.

It is started with the environment that the hub would give it:

    JUPYTERHUB_API_URL=http://127.0.0.1:8081/hub/api JUPYTERHUB_API_TOKEN=… \
    JUPYTERHUB_SERVICE_URL=http://127.0.0.1:10101 jupyter rsql --hub --gateway-config /etc/jupyterhub/rsql.toml
"""

import os

from jupyter_server_ext.app.jupyterhub import configure

c = get_config()  # noqa: F821

configure(c, managed=False, api_token=os.environ["RSQL_SERVICE_TOKEN"], url="http://127.0.0.1:10101")
