from .client import RedisCall as RedisCall
from .client import address_of as address_of
from .client import failures as failures
from .client import spread_client_of as spread_client_of
from .coordinator import MICROSECONDS as MICROSECONDS
from .coordinator import Lost as Lost
from .coordinator import RedisCoordinator as RedisCoordinator
from .coordinator import packed as packed
