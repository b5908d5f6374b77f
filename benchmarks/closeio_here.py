"""Goes into the benchmark's environment of tap-closeio and points the tap at another server when it starts.

A `.pth` file there imports this module, so the tap's own files and its installed command stay as they are.
"""

import os
from importlib import import_module
from typing import Any

if _url := os.environ.get("CLOSEIO_BASE_URL"):
    _http: Any = import_module("tap_closeio.http")
    _http.BASE_URL = _url
