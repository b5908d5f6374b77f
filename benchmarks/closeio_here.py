"""Point tap-closeio at another server when it starts.

The benchmark copies this module into the tap's environment, where a `.pth` file imports it. The tap's own files and its
installed command remain unchanged.
"""

import os
from importlib import import_module
from typing import Any

if _url := os.environ.get("CLOSEIO_BASE_URL"):
    _http: Any = import_module("tap_closeio.http")
    _http.BASE_URL = _url
