"""The data dictionary: one row a published column, from the catalogue and the types that the file really has."""

from collections.abc import Iterable
from typing import Any

from warehouse.ddl import OWNER, View


def dictionary_rows(views: Iterable[View], columns: Iterable[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Rows of table `dictionary` for `columns` of (view, column, SQL type), sorted by view and column.

    Unit, display unit and scale and formula are the catalogue's; source is the source system where the catalogue names one,
    else the tables that the view is made of.
    """
    by_name = {view.name: view for view in views}
    rows = []
    for view, column, data_type in sorted(columns):
        description, metadata = by_name[view].column(column)
        rows.append(
            {
                "table_name": view,
                "column_name": column,
                "description": description,
                "data_type": data_type,
                "unit": metadata.get("unit"),
                "display_unit": metadata.get("display_unit"),
                "display_scale": metadata.get("display_scale"),
                "formula": metadata.get("formula"),
                "source": metadata.get("source") or ", ".join(by_name[view].tables),
                "owner": OWNER,
            }
        )
    return rows
