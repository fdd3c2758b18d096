"""Many machines: one hub with the folders, many workers with their model servers, PostgreSQL between them."""
