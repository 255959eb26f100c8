from .command import main as main
from .extension import RSQLGatewayApp as RSQLGatewayApp
