"""Validate summary.json by the JSON Schema in the package."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).parent / "schema" / "summary.schema.json"

SchemaCheck = Callable[[Any], str | None]
"""Returns where and how a value violates the schema; None if it does not."""


def schema_check() -> SchemaCheck:
    """Compile the schema to a check; this takes longer than to check a summary."""
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
