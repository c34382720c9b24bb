"""The form of summary.json: a JSON Schema that the package brings along, and what does not keep to it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).parent / "schema" / "summary.schema.json"

FormCheck = Callable[[Any], str | None]
"""Says where and how what was read departs from the form of a summary; None where it does not."""


def form_check() -> FormCheck:
    """Compile the schema to a check, which takes longer than to check a summary."""
    from fastjsonschema import JsonSchemaValueException
    from fastjsonschema import compile as compiled

    checked = compiled(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")), use_default=False)

    def fault(read: Any) -> str | None:
        try:
            checked(read)
        except JsonSchemaValueException as error:
            return str(error.message).removeprefix("data").removeprefix(".").strip()
        return None

    return fault
