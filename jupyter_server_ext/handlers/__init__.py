"""The HTTP surface of the gateway, one module per concern."""
