"""All operators of content streams that bear on what is seen."""

from __future__ import annotations

from pipeline.document.hidden.colour_operators import COLOUR_OPERATORS
from pipeline.document.hidden.object_operators import OBJECT_OPERATORS
from pipeline.document.hidden.painter import Operator
from pipeline.document.hidden.path_operators import PATH_OPERATORS
from pipeline.document.hidden.state_operators import STATE_OPERATORS
from pipeline.document.hidden.text_operators import TEXT_OPERATORS

OPERATORS: dict[bytes, Operator] = {
    **STATE_OPERATORS,
    **COLOUR_OPERATORS,
    **PATH_OPERATORS,
    **OBJECT_OPERATORS,
    **TEXT_OPERATORS,
}
