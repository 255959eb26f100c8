from .command import main as main
from .extension import GatewayExtension as GatewayExtension
