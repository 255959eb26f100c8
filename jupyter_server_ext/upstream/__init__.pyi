from .answers import Answer as Answer
from .connection import ProviderTransport as ProviderTransport
from .expected import characters as characters
from .log import FORMAT_VARIABLE as FORMAT_VARIABLE
from .log import use_json as use_json
from .presets import with_preset as with_preset
from .transport import Job as Job
from .transport import KeyRotatingTransport as KeyRotatingTransport
