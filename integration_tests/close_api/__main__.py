"""Start the local Close API with generated data and serve it until SIGTERM: `python -m integration_tests.close_api`."""

import argparse
import signal
import sys
import threading

from .populate import Volumes
from .server import LocalCloseApi


def main() -> None:
    """Print the base URL as the first line and serve until a signal stops the server."""
    parser = argparse.ArgumentParser(prog="close_api", description=__doc__)
    for name, default in vars(Volumes()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help="the number to create")
    volumes = Volumes(**vars(parser.parse_args()))
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with LocalCloseApi(volumes) as api:
        sys.stdout.write(f"{api.url}\n")
        sys.stdout.flush()
        stopped.wait()


if __name__ == "__main__":
    main()
