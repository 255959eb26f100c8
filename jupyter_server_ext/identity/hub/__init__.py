"""A JupyterHub beside the gateway: who its tokens stand for, what its groups may do, and how browsers log in.

The gateway speaks the hub's REST API itself, over httpx: it needs no package of the hub, starts as fast as without
one, and asks once where the hub's own client would ask for each of fifty requests.
"""
