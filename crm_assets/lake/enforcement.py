"""The contract of a table, enforced when it is written: on the frame before it is computed, on the file after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw

from crm_assets.contracts import Kind, Table
from crm_assets.errors import LakeError

if TYPE_CHECKING:
    import pyarrow as pa

_TYPES: dict[Kind, nw.dtypes.DType] = {
    Kind.STRING: nw.String(),
    Kind.INTEGER: nw.Int64(),
    Kind.FLOAT: nw.Float64(),
    Kind.BOOLEAN: nw.Boolean(),
    Kind.DATE: nw.Date(),
}


def _without_loss(found: nw.dtypes.DType, kind: Kind) -> bool:
    """Whether every value of type `found` has its like in `kind`; those that are too large fail when they are cast."""
    if kind is Kind.INTEGER:
        return found.is_integer() or (isinstance(found, nw.Decimal) and found.scale == 0)
    if kind is Kind.FLOAT:
        return found.is_numeric()
    if kind is Kind.STRING:
        return isinstance(found, nw.String | nw.Categorical | nw.Enum)
    return found == _TYPES[kind]


def fitted_to(frame: nw.LazyFrame[Any], table: Table, place: str) -> nw.LazyFrame[Any]:
    """`frame` with the contract's columns only, in its order and of its types, not computed yet.

    Args:
        frame: has at least the contract's columns; what else it has is left out.
        table: the contract.
        place: where the table is to be stored, for messages.

    Raises LakeError when a column is missing, or holds values of a type that does not go into the contract's without
    loss. A column of the wrong type without any value passes: engines give it whatever type they like.
    """
    schema = frame.collect_schema()
    missing = [name for name in table.column_names if name not in schema]
    if missing:
        raise LakeError(
            f"{place}: table {table.name} lacks {', '.join(missing)}; it has {', '.join(schema.names())}; "
            "add what is missing where the table is made"
        )
    for column in table.columns:
        found = schema[column.name]
        if _without_loss(found, column.kind):
            continue
        examples = frame.select(column.name).filter(~nw.col(column.name).is_null()).head(3).collect("polars")
        if len(examples):
            values = ", ".join(map(repr, examples[column.name].to_list()))
            raise LakeError(
                f"{place}: column {column.name} of table {table.name} is {found} ({values}), not "
                f"{_TYPES[column.kind]}; cast it where the table is made"
            )
    return frame.select(nw.col(column.name).cast(_TYPES[column.kind]) for column in table.columns)


def checked_rows(file: Path, table: Table, place: str) -> int:
    """Number of rows of the Parquet file that an engine wrote.

    Raises LakeError when it is missing or broken, when names, order or types of its columns differ from the contract,
    or when a required column has empty values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise LakeError(f"{place}: the engine wrote no readable Parquet file ({error}); run it again") from error
    with parquet:
        schema = parquet.schema_arrow
        if schema.names != table.column_names:
            wrote, expected = ", ".join(schema.names), ", ".join(table.column_names)
            raise LakeError(f"{place}: the engine wrote columns {wrote}, not {expected}; choose another CRM_ENGINE")
        for index, column in enumerate(table.columns):
            found = schema.field(index).type
            if not _is_of(found, column.kind):
                raise LakeError(
                    f"{place}: the engine wrote column {column.name} as {found}, not as {_TYPES[column.kind]}; "
                    "choose another CRM_ENGINE"
                )
            if column.required and (nulls := _nulls(parquet, index, column.name)):
                raise LakeError(
                    f"{place}: required column {column.name} of table {table.name} is empty in {nulls} rows"
                    f"{_examples(file, table, column.name)}; mend it in the source, or where the table is made"
                )
        return int(parquet.metadata.num_rows)


def _is_of(found: pa.DataType, kind: Kind) -> bool:
    from pyarrow import types

    fits = {
        Kind.STRING: (types.is_string, types.is_large_string, types.is_string_view),
        Kind.INTEGER: (types.is_int64,),
        Kind.FLOAT: (types.is_float64,),
        Kind.BOOLEAN: (types.is_boolean,),
        Kind.DATE: (types.is_date32,),
    }
    return any(fit(found) for fit in fits[kind])


def _nulls(parquet: Any, index: int, name: str) -> int:
    """Number of empty values in a column, from the statistics where the file has them."""
    groups = [parquet.metadata.row_group(i).column(index).statistics for i in range(parquet.metadata.num_row_groups)]
    if all(group is not None and group.has_null_count for group in groups):
        return sum(group.null_count for group in groups)
    return sum(batch.column(0).null_count for batch in parquet.iter_batches(columns=[name]))


def _examples(file: Path, table: Table, name: str) -> str:
    """The keys of the first rows in which a column is empty, for a message."""
    import polars as pl

    if not table.key:
        return ""
    rows = pl.scan_parquet(file).filter(pl.col(name).is_null()).select(table.key).head(3).collect().rows()
    return " (" + ", ".join(" / ".join(map(str, row)) for row in rows) + ")"
