"""What jupyter_server_ext.jupyterhub.configure(c, config="/etc/jupyterhub/rsql.toml") does, written out."""

import sys

c = get_config()  # noqa: F821

# The gateway is one process that the hub starts, restarts and stops. It serves its own routes and nothing else.
c.JupyterHub.services.append(
    {
        "name": "rsql",
        "url": "http://127.0.0.1:10101",
        # The supervisor holds the port and runs `jupyter rsql --hub` behind it, so a restart refuses nobody.
        "command": [
            *(sys.executable, "-P", "-m", "jupyter_server_ext.app.supervisor"),
            "--gateway-config=/etc/jupyterhub/rsql.toml",
        ],
        # The hub keeps its own environment from services, so keys that rsql.toml reads as ${NAME} are named here.
        # "environment": {"GROQ_API_KEY": os.environ["GROQ_API_KEY"]},
        "display": True,
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": ["custom:rsql:admin"],
        # A host name of its own for the gateway's pages, which `rsql console` shows without one: see docs/console.md.
        # It needs c.JupyterHub.public_url, and "RSQL_CONSOLE_ORIGIN": "https://rsql.example.org" in "environment".
        # "oauth_redirect_uri": "https://rsql.example.org/services/rsql/oauth_callback",
    }
)

c.JupyterHub.custom_scopes = {"custom:rsql:admin": {"description": "Administer the language-model gateway rsql."}}

c.JupyterHub.load_roles.extend(
    [
        # Naming one of the hub's own roles replaces its scopes, so its defaults are repeated. Without the line in
        # "server" every kernel is refused.
        {"name": "user", "scopes": ["self", "access:services!service=rsql"]},
        {
            "name": "server",
            "scopes": ["users:activity!user", "access:servers!server", "access:services!service=rsql"],
        },
        # What the service reads: groups and their properties, and who the owner of an API key is now.
        {
            "name": "rsql-service",
            "scopes": ["list:users", "read:users", "read:groups"],
            "services": ["rsql"],
        },
        # Who administers the gateway, beside the hub's administrators.
        {"name": "rsql-admin", "scopes": ["custom:rsql:admin", "access:services!service=rsql"], "users": []},
    ]
)

# Kernels find the gateway by this; the token is their server's own JUPYTERHUB_API_TOKEN.
c.Spawner.environment.update({"RSQL_GATEWAY_URL": "http://127.0.0.1:8000/services/rsql/"})
