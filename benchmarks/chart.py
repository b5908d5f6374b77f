"""Draw docs/performance.svg: wall times as bars, readable on light and dark pages."""

from .compare import Comparison
from .figures import RunFigures
from .paths import CHART

_WIDTH = 720
_LEFT = 190
_BAR = 24
_GAP = 8
_TOP = 56
_ROOM_FOR_LABEL = 90
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; font-size: 15px; }
  .tap { fill: #a8b1bb; } .connector { fill: #0a7d5a; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .tap { fill: #6e7681; } .connector { fill: #3fb68b; }
  }
"""


def draw(figures: Comparison) -> None:
    """Draw one group of bars for each latency."""
    longest = max(run.wall_seconds for run in figures.runs)
    scale = (_WIDTH - _LEFT - _ROOM_FOR_LABEL) / longest
    parts = []
    y = _TOP
    for number, run in enumerate(figures.runs):
        parts.append(_bar(run, "connector" if number % 2 else "tap", y, scale))
        y += _BAR + (3 * _GAP if number % 2 else _GAP)
    records = figures.runs[-1].expected
    title = f"Seconds to read {records:,} records"
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" role="img">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="16" y="30">{title}</text>',
        *parts,
        "</svg>\n",
    ]
    CHART.write_text("\n".join(svg))


def _bar(run: RunFigures, kind: str, y: int, scale: float) -> str:
    width = max(run.wall_seconds * scale, 1)
    middle = y + _BAR / 2 + 5
    return (
        f'<text x="{_LEFT - 10}" y="{middle:.0f}" text-anchor="end">{run.program}, {run.latency * 1_000:.0f} ms</text>'
        f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3"/>'
        f'<text x="{_LEFT + width + 8:.1f}" y="{middle:.0f}">{run.wall_seconds:.1f} s</text>'
    )
