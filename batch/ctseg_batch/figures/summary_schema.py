"""Validate summary.json by the JSON Schema in the package."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).parent / "schema" / "summary.schema.json"


def schema_fault(read: Any) -> str | None:
    """Where and how a value violates the schema; None if it does not."""
    from fastjsonschema import JsonSchemaValueException

    try:
        _compiled()(read)
    except JsonSchemaValueException as error:
        return str(error.message).removeprefix("data").removeprefix(".").strip()
    return None


@cache
def _compiled() -> Callable[[Any], Any]:
    """The check of the schema; to compile it takes longer than to check a summary."""
    from fastjsonschema import compile as compiled

    check: Callable[[Any], Any] = compiled(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")), use_default=False)
    return check
