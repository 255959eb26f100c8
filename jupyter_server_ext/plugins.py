"""The loader of plug-ins, imported here only; kernel and gateway have the same."""

from rsql_magic.plugins import PlugIn as PlugIn  # noqa: PLC0414  (for all other modules)
from rsql_magic.plugins import PlugInFailed as PlugInFailed  # noqa: PLC0414
from rsql_magic.plugins import Unfit as Unfit  # noqa: PLC0414
from rsql_magic.plugins import ask as ask  # noqa: PLC0414
from rsql_magic.plugins import leave_out as leave_out  # noqa: PLC0414
from rsql_magic.plugins import left_out as left_out  # noqa: PLC0414
from rsql_magic.plugins import plugged as plugged  # noqa: PLC0414
