"""Questions about tables as SQL: one grammar reads the whole question, and what it may mean must agree."""

# `write` is the way in. Words become names and values of the catalog (`mentions`, `schema`), rules (`grammar.txt`) make
# parts of a query of them (`meanings`), and each reading that leaves no word out becomes a query (`build`). Where none
# is left, or two that differ, the question is declined with a reason.

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
