"""Write `config/pipeline.toml`: every setting with its default, its meaning and its unit, from the code itself.

python tests/make_settings.py
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from pipeline.config import Settings

TARGET = Path(__file__).parent.parent / "config" / "pipeline.toml"
HEADER = """\
# The settings of the pipeline, each with its default. A setting is overridden by the environment variable
# PIPELINE_<SECTION>__<KEY> (PIPELINE_LLM__BASE_URL), and that by an option of the command line (--base-url).
# LM_STUDIO_API_BASE and LM_STUDIO_API_KEY are honoured too. Agents stand in agents/, their prompts in prompts/.
"""


def render() -> str:
    """Return the text of the file."""
    sections = [_section(name, field) for name, field in Settings.model_fields.items()]
    return HEADER + "".join(sections)


def _section(name: str, field: FieldInfo) -> str:
    model = field.annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    about = _comment((model.__doc__ or "").strip().partition("\n")[0])
    return f"\n{about}\n[{name}]\n" + "".join(_key(key, entry) for key, entry in model.model_fields.items())


def _key(name: str, field: FieldInfo) -> str:
    return f"{_comment(field.description or '')}\n{_assignment(name, field.get_default())}\n"


def _assignment(name: str, default: Any) -> str:
    if default is None:
        return f"# {name} ="
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, Path | str):
        return f"{name} = {json.dumps(str(default))}"
    if isinstance(default, tuple | list):
        return f"{name} = {json.dumps(list(default))}"
    return f"{name} = {json.dumps(default)}"


def _comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in textwrap.wrap(text, 116))


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
