"""The invoice database as a table for other programs."""

from pipeline.export.rows import Filter, invoice_columns, line_columns, since_day
from pipeline.export.writing import Form, export_to, stream_text

__all__ = ["Filter", "Form", "export_to", "invoice_columns", "line_columns", "since_day", "stream_text"]
