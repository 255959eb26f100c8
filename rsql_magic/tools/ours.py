"""Our own tools, in the order in which a model reads them; each says from which privacy level on it is offered."""

from __future__ import annotations

from rsql_magic.tools.describe import Describe
from rsql_magic.tools.look import LookAt
from rsql_magic.tools.query import Query
from rsql_magic.tools.tables import Tables
from rsql_magic.tools.values import Values

OF_DATABASE: tuple[type[Tables | Describe | Values | Query], ...] = (Tables, Describe, Values, Query)
OURS = (LookAt, *OF_DATABASE)
