"""The invoice database as a table for other programs."""

from pipeline.export.rows import Filter, day_from, invoice_columns, line_columns, since_day, undated
from pipeline.export.writing import Form, export_to, stream_text

__all__ = [
    "Filter",
    "Form",
    "day_from",
    "export_to",
    "invoice_columns",
    "line_columns",
    "since_day",
    "stream_text",
    "undated",
]
