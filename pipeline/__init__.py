"""Turn invoices dropped into a folder into checked data, with a language model on your own machine."""

__version__ = "0.2.0"
