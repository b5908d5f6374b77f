"""Seeded random values, ids and texts for the objects of the factory."""

from base64 import b64encode
from collections.abc import Sequence
from random import Random
from typing import TypeVar

from .times import DAY, HOUR, MILLISECOND, SECOND, iso

T = TypeVar("T")

_ID_BYTES = 18
_TO_BASE62 = bytes.maketrans(b"+/", b"Zz")

FIRST_NAMES = ("Ana", "Bjørn", "Chloé", "Dmitri", "Élodie", "Farah", "Günther", "Hiroko", "Íñigo", "Jürgen", "Zoë")
LAST_NAMES = ("Ruiz", "Åkesson", "Lefèvre", "Nováková", "O'Neil", "Sørensen", "Müller", "Nguyễn", "Đặng", "Smith")
COMPANIES = ("Wayne Enterprises", "Café Olé", "Ångström Labs", "Naïve Software", "Blue Whale 🐋", "Déjà Vu GmbH")
PHRASES = (
    "Asked for a quote",
    "Wants a demo next week",
    "Pricing – second round",
    "Très intéressé, à rappeler",
    "Sends greetings 👋🏽",
    'Said "maybe", call back',
    "Budget is set at 5 000 €",
    "多言語対応について質問",
    "Line one\nline two\twith a tab",
)
_FIRST_DAY = 19_700
_ROUND_SHARE = 0.1
_TIE_SHARE = 0.05


class Maker:
    """A source of random values: the same seed and the same calls give the same values."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._last_stamp: int | None = None

    def id(self, prefix: str) -> str:
        """Return a new id such as `lead_1aB2…`."""
        text = b64encode(self.random.randbytes(_ID_BYTES)).translate(_TO_BASE62)
        return f"{prefix}_{text.decode()}"

    def chance(self, share: float) -> bool:
        """Return True in about `share` (0 to 1) of all calls."""
        return self.random.random() < share

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.random.random() * len(choices))]

    def maybe(self, value: T, share: float = 0.5) -> T | None:
        """Return the value in about `share` of all calls, otherwise None."""
        return value if self.random.random() < share else None

    def number(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both inclusive."""
        return low + int(self.random.random() * (high - low + 1))

    def stamp(self, start: int, end: int) -> int:
        """Return a stamp in [start, end): usually any millisecond, sometimes a whole second or the previous stamp."""
        last = self._last_stamp
        if last is not None and start <= last < end and self.chance(_TIE_SHARE):
            return last
        micros = start + int(self.random.random() * max(end - start, 1))
        unit = SECOND if self.chance(_ROUND_SHARE) else MILLISECOND
        self._last_stamp = max(micros - micros % unit, start)
        return self._last_stamp

    def later(self, micros: int, end: int) -> int:
        """Return a stamp in [micros, end): `micros` itself in half of all calls, otherwise usually a later stamp."""
        if self.chance(0.5) or end <= micros:
            return micros
        added = int(self.random.expovariate(1 / (48 * HOUR)))
        return min(micros + added - added % MILLISECOND, end - MILLISECOND)

    def phrase(self) -> str:
        return self.pick(PHRASES)

    def full_name(self) -> str:
        """Return a first name and a last name with a space in between."""
        return f"{self.pick(FIRST_NAMES)} {self.pick(LAST_NAMES)}"

    def phone(self) -> str:
        """Return a phone number of the range that is reserved for fiction."""
        return f"+1202555{self.number(100, 199):04d}"

    def day(self) -> int:
        """Return the beginning of a day of two recent years, in microseconds."""
        return (_FIRST_DAY + self.number(0, 700)) * DAY

    def date(self, micros: int) -> str:
        """Return the day of a stamp, such as `2024-05-06`."""
        return iso(micros)[:10]
