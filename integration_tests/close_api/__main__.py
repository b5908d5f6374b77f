"""Start the local Close API with generated data and serve it until SIGTERM: `python -m integration_tests.close_api`."""

import argparse
import signal
import sys
import threading
from datetime import datetime

from .populate import Volumes
from .server import LocalCloseApi
from .settings import Settings
from .times import parse, to_datetime


def _moment(text: str) -> datetime:
    return to_datetime(parse(text))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="close_api", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the port to listen on; 0 chooses a free port")
    for name, default in vars(Volumes()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help="the number to create")
    parser.add_argument("--start", type=_moment, help="the earliest creation date; by default a year before --end")
    parser.add_argument("--end", type=_moment, help="objects are created before this; the default is now")
    parser.add_argument("--api-key", default=Settings.api_key)
    return parser.parse_args()


def main() -> None:
    """Print the base URL as the first line and serve until a signal stops the server."""
    given = _arguments()
    volumes = Volumes(**{name: getattr(given, name) for name in vars(Volumes())})
    settings = Settings(api_key=given.api_key)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    api = LocalCloseApi(volumes, settings=settings, start=given.start, end=given.end, port=given.port)
    with api:
        sys.stdout.write(f"{api.url}\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
