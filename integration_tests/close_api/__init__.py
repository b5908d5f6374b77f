"""A local server that imitates Close's REST API for the tests, the demo and the benchmark."""

from .faults import Fault, FaultPlan
from .populate import Volumes
from .requestlog import RequestEntry
from .server import LocalCloseApi
from .settings import RateLimit, Settings
from .store import Store

__all__ = ["Fault", "FaultPlan", "LocalCloseApi", "RateLimit", "RequestEntry", "Settings", "Store", "Volumes"]
