"""E-invoices: values out of XML, exactly, and compared with the page that a person sees."""
