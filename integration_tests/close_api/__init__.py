"""A local server that imitates Close's REST API for the tests, the demo and the benchmark."""

from .faults import Fault
from .populate import Volumes
from .server import LocalCloseApi
from .settings import RateLimit, Settings
from .store import Store

__all__ = ["Fault", "LocalCloseApi", "RateLimit", "Settings", "Store", "Volumes"]
