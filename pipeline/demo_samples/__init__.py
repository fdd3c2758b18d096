"""Sample files for a first try, every one of them invented; `tests/make_samples.py` makes them."""
