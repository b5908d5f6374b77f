"""Paths of the files that the benchmark uses."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
BUILD = ROOT / "build" / "bench"
TAP_ENVIRONMENT = ROOT / "build" / "bench-tap"
DOCUMENT = ROOT / "docs" / "performance.md"
CHART = ROOT / "docs" / "performance.svg"
