from .answers import ProviderAnswer as ProviderAnswer
from .connection import ProviderTransport as ProviderTransport
from .openai import characters as characters
from .transport import Job as Job
from .transport import KeyRotatingTransport as KeyRotatingTransport
