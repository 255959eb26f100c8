"""Entry points of the gateway: a Jupyter Server extension, ``jupyter rsql``, a JupyterHub service, a TLJH plugin."""

# The only room in which a gateway is assembled from its settings and started, supervised and stopped.

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
