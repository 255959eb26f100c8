from .answers import Answer as Answer
from .connection import ProviderTransport as ProviderTransport
from .failures import FORMAT_VARIABLE as FORMAT_VARIABLE
from .failures import use_json as use_json
from .openai import characters as characters
from .transport import Job as Job
from .transport import KeyRotatingTransport as KeyRotatingTransport
