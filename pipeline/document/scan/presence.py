"""Whether pictures of pages can be read on this machine, without loading anything for it."""

from __future__ import annotations

from importlib.util import find_spec

# Also right in a checkout: what is installed already is only given the extra.
INSTALL = "pip install 'invoice-pipeline[scan]'"
INSTALL_HINT = f"It is probably a scan. Install text recognition with {INSTALL}, then replay the job."
_LIBRARIES = ("rapidocr", "onnxruntime", "cv2", "numpy", "PIL")


def missing_libraries() -> list[str]:
    """Return what text recognition needs and does not find."""
    return [name for name in _LIBRARIES if find_spec(name) is None]
