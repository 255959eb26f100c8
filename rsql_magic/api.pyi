# The list of what is public; docs/api.md is made from it by `make docs`. A comment begins a section.

# Ask
from rsql_magic import ChatPanel as ChatPanel
from rsql_magic import artifact as artifact
from rsql_magic import ask as ask
from rsql_magic import map as map
from rsql_magic import sql_ai as sql_ai
from rsql_magic.answers import Answer as Answer
from rsql_magic.text2sql import SQLResult as SQLResult

# Run queries
from rsql_magic.databases import Engine as Engine
from rsql_magic.databases import Rows as Rows
from rsql_magic.databases import open_engine as open_engine

# SQL without a database
from rsql_magic.sql import Catalog as Catalog
from rsql_magic.sql import Column as Column
from rsql_magic.sql import Fix as Fix
from rsql_magic.sql import ForeignKey as ForeignKey
from rsql_magic.sql import Problem as Problem
from rsql_magic.sql import Profile as Profile
from rsql_magic.sql import Table as Table
from rsql_magic.sql import check as check
from rsql_magic.sql import count_sql as count_sql
from rsql_magic.sql import ddl as ddl
from rsql_magic.sql import dialect_of as dialect_of
from rsql_magic.sql import fix_query as fix_query
from rsql_magic.sql import link as link
from rsql_magic.sql import validate as validate

# Descriptions and the filter
from rsql_magic.context import describe as describe
from rsql_magic.context import gather as gather
from rsql_magic.redaction import redact as redact
from rsql_magic.sql import count_tokens as count_tokens
from rsql_magic.sql import fence as fence

# Errors
from rsql_magic.errors import AnswerCut as AnswerCut
from rsql_magic.errors import BadInput as BadInput
from rsql_magic.errors import BudgetSpent as BudgetSpent
from rsql_magic.errors import CodeFailed as CodeFailed
from rsql_magic.errors import ConnectionProblem as ConnectionProblem
from rsql_magic.errors import GatewayError as GatewayError
from rsql_magic.errors import GatewayUnreachable as GatewayUnreachable
from rsql_magic.errors import LimitReached as LimitReached
from rsql_magic.errors import NoQuery as NoQuery
from rsql_magic.errors import NotAllowed as NotAllowed
from rsql_magic.errors import QueryFailed as QueryFailed
from rsql_magic.errors import QueryRejected as QueryRejected
from rsql_magic.errors import RsqlError as RsqlError
from rsql_magic.errors import Stopped as Stopped
from rsql_magic.errors import UnknownModel as UnknownModel
from rsql_magic.errors import UnknownName as UnknownName

# Plug-ins
from rsql_magic.answers import CheckedAnswer as CheckedAnswer
from rsql_magic.databases import Database as Database
from rsql_magic.databases import DuckDB as DuckDB
from rsql_magic.databases import SQLAlchemy as SQLAlchemy
from rsql_magic.databases import SQLite as SQLite
from rsql_magic.knowledge import DocumentFormat as DocumentFormat
from rsql_magic.knowledge import Section as Section
from rsql_magic.tools import Tool as Tool
