"""What to simulate: how many opportunities, which months, which seed, which drifts; and the URL that says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args
from urllib.parse import parse_qsl, quote, urlencode

from crm_assets.calendar import Month, month_range, parse_months
from crm_assets.errors import SettingsError
from crm_assets.simulator.organisation import MISSPELT, PRODUCTS, REGIONS

SCHEME = "simulator:"
_KEYS = ("opportunities", "seed", "months", "drift")
_DRIFT_FORM = "write it as KIND@YYYY-MM:SIZE or KIND@YYYY-MM:SIZE:TARGET, for example price@2017-09:0.2"
_YEARS = (1900, 2200)
FIRST_MONTH, LAST_MONTH = Month(2016, 10), Month(2017, 12)

DriftKind: TypeAlias = Literal["price", "region_mix", "win_rate", "new_product"]
DRIFT_KINDS: tuple[str, ...] = get_args(DriftKind)


@dataclass(frozen=True)
class Drift:
    """One lasting change of the simulated business. Nothing before its first month is touched.

    - `price`: list prices are multiplied by 1 + `size`, of the product `target` or of all. Deals won from then on are
      worth accordingly more.
    - `region_mix`: the region `target` (West by default) gains `size` of all opportunities created from then on, at
      the cost of the others in proportion.
    - `win_rate`: of the deals of the region `target` (of all by default) that close from then on, the probability of a
      win is multiplied by 1 - `size`.
    - `new_product`: a product called `target` (Helix 300 by default) comes on the price list and takes `size` of the
      opportunities created from then on.

    Attributes:
        kind: which of the four.
        start: first month that differs.
        size: share, without unit; above -1, at most 10 and not 0 for `price`, above 0 and at most 1 for `win_rate`,
            between 0 and 1 for the others.
        target: region or product, None for the default above.

    Raises SettingsError when size or target do not fit the kind.
    """

    kind: DriftKind
    start: Month
    size: float
    target: str | None = None

    def __post_init__(self) -> None:
        fits, allowed = {
            "price": (-1 < self.size <= 10 and self.size != 0, "above -1, at most 10, and not 0"),
            "win_rate": (0 < self.size <= 1, "above 0 and at most 1"),
            "region_mix": (0 < self.size < 1, "between 0 and 1"),
            "new_product": (0 < self.size < 1, "between 0 and 1"),
        }.get(self.kind, (False, ""))
        if not allowed:
            raise SettingsError(f"drift kind {self.kind!r} is unknown; known are {', '.join(DRIFT_KINDS)}")
        if not fits:
            raise SettingsError(f"drift {self}: size {self.size:g} must be {allowed}")
        if self.target is not None and (not self.target or self.target != self.target.strip()):
            raise SettingsError(
                f"drift {self}: target {self.target!r} is empty or has white space around it; name one, or leave it out"
            )
        regions = [region.name for region in REGIONS]
        if self.kind in {"region_mix", "win_rate"} and self.target not in {None, *regions}:
            raise SettingsError(f"drift {self}: region {self.target!r} is unknown; known are {', '.join(regions)}")

    def __str__(self) -> str:
        target = "" if self.target is None else f":{self.target}"
        return f"{self.kind}@{self.start}:{float(self.size)!r}{target}"

    @staticmethod
    def parse(text: str) -> Drift:
        """Read `price@2017-09:0.2` or `win_rate@2017-09:0.33:Central`. Raises SettingsError on any other form."""
        match = re.fullmatch(r"([^@]*)@([^:]*):([^:]*)(?::(.*))?", text.strip())
        if match is None:
            raise SettingsError(f"drift {text!r} cannot be read: {_DRIFT_FORM}")
        kind, start, size, target = match.groups()
        if kind not in DRIFT_KINDS:
            raise SettingsError(f"drift {text!r}: kind {kind!r} is unknown; known are {', '.join(DRIFT_KINDS)}")
        try:
            share, month = float(size), Month.parse(start)
        except ValueError:
            raise SettingsError(f"drift {text!r}: size {size!r} is not a number; {_DRIFT_FORM}") from None
        except SettingsError as error:
            raise SettingsError(f"drift {text!r}: {error}") from None
        return Drift(cast(DriftKind, kind), month, share, target)

    @property
    def region(self) -> str | None:
        """The region it is about, None for every region and for drifts that are about no region."""
        if self.kind == "region_mix":
            return self.target or "West"
        return self.target if self.kind == "win_rate" else None

    @property
    def product(self) -> str | None:
        """The product it is about, None for every product and for drifts that are about no product."""
        if self.kind == "new_product":
            return self.target or "Helix 300"
        return self.target if self.kind == "price" else None


@dataclass(frozen=True)
class SimulationConfig:
    """What to simulate; equal configurations give equal tables to the last bit.

    Attributes:
        opportunities: how many are created by the end of `last`.
        first: month in which the first is created.
        last: last month with tables.
        seed: of every random number.
        drifts: changes of the business, kept in order of their first month.

    Raises SettingsError naming what is wrong and what is allowed.
    """

    opportunities: int = 8800
    first: Month = FIRST_MONTH
    last: Month = LAST_MONTH
    seed: int = 7
    drifts: tuple[Drift, ...] = ()

    def __post_init__(self) -> None:
        if self.opportunities < 1:
            raise SettingsError(f"simulator: opportunities is {self.opportunities}, must be at least 1")
        if self.seed < 0:
            raise SettingsError(f"simulator: seed is {self.seed}, must be at least 0")
        if self.last < self.first:
            raise SettingsError(f"simulator: months end in {self.last}, before they start in {self.first}")
        if self.first.year < _YEARS[0] or self.last.year > _YEARS[1]:
            raise SettingsError(
                f"simulator: months {self.first}:{self.last} must lie within the years {_YEARS[0]} to {_YEARS[1]}"
            )
        ordered = sorted(self.drifts, key=lambda drift: (drift.start, str(drift)))
        object.__setattr__(self, "drifts", tuple(ordered))
        self._check_drifts()

    def _check_drifts(self) -> None:
        products = [product.name for product in PRODUCTS]
        share = {region.name: region.share for region in REGIONS}
        for drift in self.drifts:
            if not self.first <= drift.start <= self.last:
                raise SettingsError(
                    f"simulator: drift {drift} starts in {drift.start}, outside the months {self.first} to {self.last}"
                )
            if drift.kind == "price" and drift.product not in {None, *products}:
                raise SettingsError(
                    f"simulator: drift {drift}: product {drift.product!r} is not on the price list in {drift.start}; "
                    f"known are {', '.join(products)}"
                )
            if drift.kind == "new_product" and drift.product is not None:
                if drift.product in [*products, *MISSPELT.values()]:
                    raise SettingsError(f"simulator: drift {drift}: product {drift.product!r} exists; name another one")
                products.append(drift.product)
            if drift.kind == "region_mix" and drift.region is not None:
                rest = 1 - share[drift.region]
                if drift.size > rest:
                    raise SettingsError(
                        f"simulator: drift {drift}: {drift.region} has {share[drift.region]:.2f} of the opportunities, "
                        f"so it can gain at most {rest:.2f}"
                    )
                share = {name: part * (1 - drift.size / rest) for name, part in share.items()}
                share[drift.region] = 1 - rest + drift.size

    @property
    def months(self) -> list[Month]:
        """Every month with tables."""
        return month_range(self.first, self.last)

    @classmethod
    def from_url(cls, url: str) -> SimulationConfig:
        """Read `simulator:` or `simulator:?opportunities=20000&seed=3&months=2017-01:2018-12&drift=price@2017-09:0.2`.

        `drift` may be given several times; what is left out has its default. Raises SettingsError naming the key or
        value that is wrong, and the known ones.
        """
        head, _, query = url.partition("?")
        if head != SCHEME:
            raise SettingsError(f"{url!r} is not a simulator's URL: it starts with {SCHEME!r}, parameters follow a '?'")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
        except ValueError:
            raise SettingsError(
                f"{url!r}: {query!r} cannot be read; write KEY=VALUE&KEY=VALUE, with keys {', '.join(_KEYS)}"
            ) from None
        given: dict[str, str] = {}
        drifts = []
        for key, value in pairs:
            if key not in _KEYS:
                raise SettingsError(f"{url!r}: {key!r} is unknown; known are {', '.join(_KEYS)}")
            if key == "drift":
                drifts.append(Drift.parse(value))
            elif key in given:
                raise SettingsError(f"{url!r}: {key!r} is given twice; only drift may be")
            else:
                given[key] = value
        first, last = cls.first, cls.last
        if "months" in given:
            try:
                months = parse_months(given["months"])
            except SettingsError as error:
                raise SettingsError(f"{url!r}: months: {error}") from None
            first, last = months[0], months[-1]
        return cls(
            opportunities=_whole(url, "opportunities", given, cls.opportunities),
            first=first,
            last=last,
            seed=_whole(url, "seed", given, cls.seed),
            drifts=tuple(drifts),
        )

    def url(self) -> str:
        """The canonical URL: defaults left out, equal for equal configurations."""
        default = SimulationConfig()
        pairs = []
        if self.opportunities != default.opportunities:
            pairs.append(("opportunities", str(self.opportunities)))
        if self.seed != default.seed:
            pairs.append(("seed", str(self.seed)))
        if (self.first, self.last) != (default.first, default.last):
            pairs.append(("months", f"{self.first}:{self.last}"))
        pairs += [("drift", str(drift)) for drift in self.drifts]
        return SCHEME + ("?" + urlencode(pairs, safe=":@", quote_via=quote) if pairs else "")


def _whole(url: str, key: str, given: dict[str, str], default: int) -> int:
    text = given.get(key)
    if text is None:
        return default
    if re.fullmatch(r"[0-9]{1,18}", text) is None:
        raise SettingsError(f"{url!r}: {key} is {text!r}, must be a whole number, for example {default}")
    return int(text)
