"""The same quarantine, snapshots, daily closings and features in pandas, as one would write them in it alone.

It shares no code with the platform's own tables, so that it also serves as a second opinion on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from crm_assets.calendar import Month

if TYPE_CHECKING:
    import pandas as pd

Types = Literal["plain", "arrow"]
"""How pandas holds strings.

- plain: Python objects, pandas 2's default.
- arrow: Arrow strings for identifiers and categories for names, chosen by hand.
"""

_NAMES = ("sales_agent", "product", "account", "deal_stage", "manager", "regional_office", "series")
_SPELLINGS = {"GTXPro": "GTX Pro"}
_GROUPS = {"agent": "sales_agent", "manager": "manager", "region": "regional_office", "product": "product"}
_OLD_DAYS = (100, 138)
_RECENT_DAYS = 90
_SMOOTHING = 20

_QUARANTINE_COLUMNS = [
    "opportunity_id",
    "snapshot_month",
    "reasons",
    "sales_agent",
    "product",
    "account",
    "deal_stage",
    "engage_date",
    "close_date",
    "close_value",
]
_SNAPSHOT_COLUMNS = [
    "opportunity_id",
    "snapshot_month",
    "as_of",
    "sales_agent",
    "manager",
    "regional_office",
    "product",
    "series",
    "list_price",
    "account",
    "deal_stage",
    "in_book",
    "engage_date",
    "close_date",
    "close_value",
    "age_days",
    "days_to_close",
]
_CLOSING_COLUMNS = [
    "snapshot_month",
    "close_date",
    "sales_agent",
    "manager",
    "regional_office",
    "product",
    "won",
    "lost",
    "days_to_close",
]


def month_tables(raw: Path, month: Month, types: Types) -> dict[str, pd.DataFrame]:
    """The four tables of `month` by name, columns and order of rows as in the platform's.

    Args:
        raw: folder with `sales_pipeline`, `products` and `sales_teams` as Parquet.
        month: the month.
        types: how to hold strings.
    """
    snapshots, quarantine = _snapshot(raw, month, types)
    closings = _daily_closings(snapshots)
    return {
        "quarantined_opportunities": quarantine,
        "opportunity_snapshots": snapshots,
        "daily_closings": closings,
        "opportunity_features": _features(snapshots, closings, month),
    }


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as the engines do: Parquet with zstd."""
    table.to_parquet(path, compression="zstd", index=False)


def _read(path: Path, types: Types) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = types == "arrow"
    table = pq.read_table(path, read_dictionary=list(_NAMES) if arrow else None)
    texts = {text: pd.ArrowDtype(text) for text in (pa.string(), pa.large_string())}
    # Dates would become Python objects otherwise, tens of times slower.
    frame: pd.DataFrame = table.to_pandas(date_as_object=False, types_mapper=texts.get if arrow else None)
    return frame


def _mended(names: pd.Series) -> pd.Series:
    import pandas as pd

    right = names.map({name: _SPELLINGS.get(name, name) for name in names.dropna().unique()})
    return right.astype("category") if isinstance(names.dtype, pd.CategoricalDtype) else right


def _merged(left: pd.DataFrame, right: pd.DataFrame, key: str) -> pd.DataFrame:
    """Left join; categories of the key made equal first, because pandas goes back to objects otherwise."""
    import pandas as pd

    if isinstance(left[key].dtype, pd.CategoricalDtype):
        both = pd.CategoricalDtype(left[key].cat.categories.union(right[key].cat.categories, sort=False))
        left, right = left.assign(**{key: left[key].astype(both)}), right.assign(**{key: right[key].astype(both)})
    return left.merge(right, on=key, how="left")


def _snapshot(raw: Path, month: Month, types: Types) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    pipeline = _read(raw / "sales_pipeline.parquet", types)
    pipeline["product"] = _mended(pipeline["product"])
    pipeline = _merged(pipeline, _read(raw / "sales_teams.parquet", types), "sales_agent")
    products = _read(raw / "products.parquet", types).rename(columns={"sales_price": "list_price"})
    pipeline = _merged(pipeline, products, "product")
    as_of = pd.Timestamp(month.end)

    broken = _broken(pipeline, as_of)
    bad = pd.Series(False, index=pipeline.index)
    for rule in broken.values():
        bad |= rule
    quarantine = pipeline[bad].assign(snapshot_month=str(month), reasons=_reasons(broken, bad))
    good = pipeline[~bad]
    snapshots = good.assign(
        snapshot_month=str(month),
        as_of=as_of,
        in_book=good["deal_stage"] == "Engaging",
        age_days=(as_of - good["engage_date"]).dt.days.astype("Int64"),
        days_to_close=(good["close_date"] - good["engage_date"]).dt.days.astype("Int64"),
    )
    return (
        snapshots[_SNAPSHOT_COLUMNS].sort_values("opportunity_id", ignore_index=True),
        quarantine[_QUARANTINE_COLUMNS].sort_values(
            ["opportunity_id", "reasons"], ignore_index=True, na_position="first"
        ),
    )


def _broken(pipeline: pd.DataFrame, as_of: pd.Timestamp) -> dict[str, pd.Series]:
    """Rule -> the rows that break it, as booleans."""
    required = ("opportunity_id", "sales_agent", "product", "deal_stage")
    empty = {name: pipeline[name].isna() for name in required}
    stage, engaged, closed = pipeline["deal_stage"], pipeline["engage_date"], pipeline["close_date"]
    prospecting, engaging, won = stage == "Prospecting", stage == "Engaging", stage == "Won"
    is_closed = won | (stage == "Lost")
    no_engage_date, no_close_date = engaged.isna(), closed.isna()
    return {
        **{f"no {name}": empty[name] for name in required},
        "duplicate opportunity_id": pipeline["opportunity_id"].duplicated(keep=False) & ~empty["opportunity_id"],
        "unknown deal_stage": ~(prospecting | engaging | is_closed | empty["deal_stage"]),
        "unknown sales_agent": pipeline["manager"].isna() & ~empty["sales_agent"],
        "unknown product": pipeline["list_price"].isna() & ~empty["product"],
        "closed before it was engaged": closed < engaged,
        "closed without close_date": is_closed & no_close_date,
        "engaged or closed without engage_date": (is_closed | engaging) & no_engage_date,
        "open with a close_date": (prospecting | engaging) & ~no_close_date,
        "prospecting with an engage_date": prospecting & ~no_engage_date,
        "negative close_value": pipeline["close_value"] < 0,
        "won without close_value": won & pipeline["close_value"].isna(),
        "dated after the snapshot": (engaged > as_of) | (closed > as_of),
    }


def _reasons(broken: dict[str, pd.Series], bad: pd.Series) -> pd.Series:
    import pandas as pd

    reasons = pd.Series("", index=bad.index[bad], dtype=object)
    for reason, rule in broken.items():
        reasons += rule[bad].map({True: f"; {reason}", False: ""})
    return reasons.str[2:]


def _daily_closings(snapshots: pd.DataFrame) -> pd.DataFrame:
    closed = snapshots[snapshots["close_date"].notna()]
    won = closed["deal_stage"] == "Won"
    counted = (
        closed.assign(won=won, lost=~won)
        .groupby(_CLOSING_COLUMNS[1:6], observed=True, sort=False)[["won", "lost", "days_to_close"]]
        .sum()
        .reset_index()
    )
    # Strings sort as text and categories by their codes: the order of rows is that of the text.
    text = {name: counted[name].astype(object) for name in ("sales_agent", "product")}
    order = counted.assign(**text).sort_values(["close_date", "sales_agent", "product"]).index
    month = snapshots["snapshot_month"].iloc[0] if len(snapshots) else ""
    return counted.loc[order].reset_index(drop=True).assign(snapshot_month=month)[_CLOSING_COLUMNS]


def _share(hits: float, trials: float) -> float:
    return hits / trials if trials > 0 else float("nan")


def _features(snapshots: pd.DataFrame, closings: pd.DataFrame, month: Month) -> pd.DataFrame:
    import pandas as pd

    as_of = pd.Timestamp(month.end)
    book = snapshots[snapshots["in_book"]].reset_index(drop=True)
    made = book[["opportunity_id", "snapshot_month", "as_of", "age_days"]].copy()
    made["next_quarter_position"] = month.next.quarter_position
    made["next_month_days"] = month.next.days
    made["engage_quarter_position"] = (book["engage_date"].dt.month - 1) % 3 + 1
    made["engage_fortnight"] = _weeks(book["engage_date"]) // 2
    for name in ("list_price", "product", "series", "sales_agent", "manager", "regional_office"):
        made[name] = book[name]

    counts = _counts(snapshots, closings, as_of)
    everything = counts.sum()
    for prefix, by in _GROUPS.items():
        rates = _rates(counts.groupby(by, observed=True).sum(), everything)
        if prefix != "agent":
            rates = rates[["win_rate", "win_rate_recent", "close_rate_recent", "days_to_close"]]
        made = made.join(rates.add_prefix(f"{prefix}_"), on=by)

    last_close = closings.groupby("sales_agent", observed=True)["close_date"].max()
    since_close = (as_of - last_close).dt.days.rename("agent_days_since_close")
    made = made.join(since_close, on="sales_agent")
    for name in ("agent_open", "agent_closed_recent", "agent_days_since_close"):
        made[name] = made[name].astype("Int64")
    return _with_cohorts(made, snapshots, book["engage_date"])[_feature_columns()]


def _counts(snapshots: pd.DataFrame, closings: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Whole-number counts by agent, manager, region and product, from which every group is rolled up."""
    import pandas as pd

    keys = list(_GROUPS.values())
    recent = closings["close_date"] > as_of - pd.Timedelta(days=_RECENT_DAYS)
    closed = (
        closings.assign(
            won_recent=closings["won"].where(recent, 0),
            lost_recent=closings["lost"].where(recent, 0),
        )
        .groupby(keys, observed=True)[["won", "lost", "won_recent", "lost_recent", "days_to_close"]]
        .sum()
    )
    engaged = snapshots.loc[snapshots["age_days"].notna(), [*keys, "age_days", "in_book"]]
    old = {days: engaged["age_days"].astype("int64") >= days for days in _OLD_DAYS}
    opened = (
        engaged.drop(columns="age_days")
        .rename(columns={"in_book": "open"})
        .assign(
            **{f"engaged_{days}": is_old for days, is_old in old.items()},
            **{f"open_{days}": is_old & engaged["in_book"] for days, is_old in old.items()},
        )
        .groupby(keys, observed=True)
        .sum()
    )
    return closed.join(opened, how="outer").fillna(0).astype("float64")


def _rates(group: pd.DataFrame, everything: pd.Series) -> pd.DataFrame:
    """The smoothed rates of one group, a row per agent, manager, region or product."""
    import pandas as pd

    def smoothed(hits: list[str], trials: list[str]) -> pd.Series:
        overall = _share(everything[hits].sum(), everything[trials].sum())
        return (group[hits].sum(axis=1) + _SMOOTHING * overall) / (group[trials].sum(axis=1) + _SMOOTHING)

    recent = ["won_recent", "lost_recent"]
    return pd.DataFrame(
        {
            "win_rate": smoothed(["won"], ["won", "lost"]),
            "win_rate_recent": smoothed(["won_recent"], recent),
            "close_rate_recent": smoothed(recent, [*recent, "open"]),
            "days_to_close": smoothed(["days_to_close"], ["won", "lost"]),
            "open": group["open"],
            "closed_recent": group[recent].sum(axis=1),
            **{f"share_open_{days}": smoothed([f"open_{days}"], [f"engaged_{days}"]) for days in _OLD_DAYS},
        }
    )


def _with_cohorts(made: pd.DataFrame, snapshots: pd.DataFrame, engage_date: pd.Series) -> pd.DataFrame:
    """Add the size of the cohort of the region from the week before to the week after, and its share still open."""
    import pandas as pd

    engaged = snapshots.loc[snapshots["engage_date"].notna(), ["regional_office", "engage_date", "in_book"]]
    weekly = (
        engaged.assign(week=_weeks(engaged["engage_date"]).astype("int64"))
        .groupby(["regional_office", "week"], observed=True)["in_book"]
        .agg(cohort_size="size", cohort_open="sum")
        .reset_index()
    )
    shifted = pd.concat([weekly.assign(week=weekly["week"] + shift) for shift in (-1, 0, 1)])
    cohorts = shifted.groupby(["regional_office", "week"], observed=True)[["cohort_size", "cohort_open"]].sum()
    made = made.assign(week=_weeks(engage_date)).join(cohorts, on=["regional_office", "week"])
    made["cohort_share_open"] = made["cohort_open"] / made["cohort_size"]
    return made


def _weeks(dates: pd.Series) -> pd.Series:
    import pandas as pd

    return (dates - pd.Timestamp("1970-01-05")).dt.days // 7


def _feature_columns() -> list[str]:
    from crm_assets.features.registry import FEATURE_TABLE

    return FEATURE_TABLE.column_names
