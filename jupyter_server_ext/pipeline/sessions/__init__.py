"""Conversations that callers leave here to have them wherever they sign in, and what their answers made."""
