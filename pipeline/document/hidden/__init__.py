"""Text that is in a PDF and cannot be seen on its page: found by following the painting, and left out."""
