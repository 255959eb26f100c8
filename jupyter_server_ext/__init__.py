"""The gateway: a Jupyter Server extension through which notebooks share LLM keys fairly and safely."""
