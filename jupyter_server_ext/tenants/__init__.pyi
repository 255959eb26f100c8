from .overrides import KnownGroups as KnownGroups
from .overrides import LimitOverrides as LimitOverrides
from .overrides import check_limits as check_limits
from .rules import overlaid as overlaid
from .runtime import RuntimeSettings as RuntimeSettings
from .tenants import Tenants as Tenants
from .tenants import hidden_path as hidden_path
from .tenants import shown as shown
