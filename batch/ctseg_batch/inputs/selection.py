"""Which series are wanted: conditions on what their headers say, and the best one of a study.

A condition is a field, an operator and a value, `thickness<=2`; `|` stands between alternatives. Text is compared
ignoring case: `~` is "contains". If a header lacks the field, only `!=` and `!~` are met.
"""

import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from ctseg.errors import CallError
from ctseg_batch.inputs.listing import ListedSeries, SeriesFacts

LEFT_OUT = "left out by "
"""The beginning of the reason for which a series is not wanted."""
TEXTS = ("description", "kernel")
NUMBERS = ("thickness", "spacing", "slices", "number")
# Descriptions are not quoted: people type them, and may name a patient.
_TOLD = {
    "description": "its description {} it",
    "kernel": "its kernel is {}",
    "thickness": "its slices are {:g} mm thick",
    "spacing": "its slices lie {:g} mm apart",
    "slices": "it has {} slices",
    "number": "its number is {}",
}
_SAID = {"~": ("does not contain", "contains"), "=": ("is not", "is")}
_FORM = re.compile(r"\s*([a-z]+)\s*(!=|!~|<=|>=|=|~|<|>)\s*(\S.*?)\s*", re.IGNORECASE | re.DOTALL)

# Headers hold 0.60000002: a thousandth of a millimetre has no meaning.
_DIGITS = 3
# A series that covers less than this share of what the longest one of its study does is a part of the chest.
_COVERS = 0.5

_TEXT_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {"=": operator.eq, "~": operator.contains}
_NUMBER_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, `written` like `kernel=B70f|B60f`: one of the `alternatives` must hold or, if `negated`, none."""

    written: str
    field: str
    sign: str
    alternatives: tuple[str, ...]
    negated: bool

    def refusal(self, facts: SeriesFacts) -> str | None:
        """Why a series does not meet it; None where it does."""
        told = getattr(facts, self.field)
        known = told not in (None, "")
        holds = known and (self._text(told) if self.field in TEXTS else self._number(told))
        if holds != self.negated:
            return None
        if self.field == "description":
            told = _SAID[self.sign][self.negated]
        said = _TOLD[self.field].format(told) if known else f"its {self.field} is not known"
        return f"{LEFT_OUT}--series-filter {self.written}: {said}"

    def _text(self, told: str) -> bool:
        """A field may have several values, as a kernel can: any of them may match, or all as they are written."""
        values = {told.casefold(), *told.casefold().split("\\")}
        holds = _TEXT_OPERATORS[self.sign]
        return any(holds(value, wanted.casefold()) for value in values for wanted in self.alternatives)

    def _number(self, told: float) -> bool:
        holds = _NUMBER_OPERATORS[self.sign]
        return any(holds(round(told, _DIGITS), round(float(wanted), _DIGITS)) for wanted in self.alternatives)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series are wanted: those that meet all conditions; with `one_a_study`, only the best of each study.

    `outdone`: the scans that are not the best of their study, and why; known once all are `surveyed`.
    """

    conditions: tuple[Condition, ...]
    one_a_study: bool
    outdone: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_descriptions(self) -> bool:
        """Whether descriptions are needed, which are not recorded."""
        return any(one.field == "description" for one in self.conditions)

    def refusal(self, series: ListedSeries) -> str | None:
        """Why a series is not wanted, by the first condition that it does not meet; None if it is wanted."""
        unmet = (reason for one in self.conditions if (reason := one.refusal(series.facts)))
        return next(unmet, None) or self.outdone.get(series.scan_name)

    def surveyed(self, series: Iterable[ListedSeries]) -> "Selection":
        """The same, once it has seen all series: only then is the best of a study known.

        A series without a study is a study of its own. If the best one is spread over several folders or stacks, all
        its parts are kept.
        """
        if not self.one_a_study:
            return self
        studies: dict[str, list[ListedSeries]] = defaultdict(list)
        for one in series:
            if one.facts.study and not self.refusal(one):
                studies[one.facts.study].append(one)
        outdone: dict[str, str] = {}
        for rivals in studies.values():
            taken = [best_of(rivals)]
            for one in rivals:
                if one is not taken[0] and all(map(one.complements, taken)):
                    taken.append(one)
            left = {one.scan_name for one in rivals} - {one.scan_name for one in taken}
            outdone |= dict.fromkeys(left, f"{LEFT_OUT}--best-series: of its study, {taken[0].scan_name} is taken")
        return replace(self, outdone=outdone)


def parse_condition(written: str) -> Condition:
    """Parse a condition; the CallError for a wrong one says what is possible."""
    form = _FORM.fullmatch(written)
    if not form:
        raise _wrong(written, "write a field, an operator and a value, like thickness<=2 or description~lung")
    field, sign, value = form[1].lower(), form[2], form[3]
    if field not in (*TEXTS, *NUMBERS):
        near = get_close_matches(field, (*TEXTS, *NUMBERS), 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise _wrong(written, f"unknown field {field}; the fields are {', '.join((*TEXTS, *NUMBERS))}{meant}")
    plain, negated = sign.removeprefix("!"), sign.startswith("!")
    possible = _TEXT_OPERATORS if field in TEXTS else _NUMBER_OPERATORS
    if plain not in possible:
        signs = "=, !=, ~, !~" if field in TEXTS else "=, !=, <, <=, >, >="
        raise _wrong(written, f"{field} is a {'text' if field in TEXTS else 'number'}, which takes {signs}")
    alternatives = tuple(part.strip() for part in value.split("|"))
    if not all(alternatives):
        raise _wrong(written, "an alternative beside | is empty")
    if field in NUMBERS:
        for one in alternatives:
            if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", one):
                raise _wrong(written, f"{field} is a number, and {one} is not")
    return Condition(written.strip(), field, plain, alternatives, negated)


def best_of(series: Iterable[ListedSeries]) -> ListedSeries:
    """The best of a study for volumes.

    Of the series that cover at least half the length of the longest: the one with the smallest spacing, then the
    longest, that with the lowest number, the first name. A series of unknown spacing comes last, and of these counts
    the number of slices; projections and subtractions are taken only if there is nothing else.
    """
    rivals = list(series)
    rivals = [one for one in rivals if not one.facts.is_computed] or rivals
    covered = [(one, _coverage(one, rivals)) for one in rivals]
    longest = max(length for _, length in covered)
    best, _ = min((pair for pair in covered if pair[1] >= _COVERS * longest), key=lambda pair: _rank(*pair))
    return best


def _rank(series: ListedSeries, covered: float) -> tuple[bool, float, float, bool, int, str, str]:
    facts = series.facts
    step = round(facts.spacing or 0, _DIGITS)
    length = round(covered) if step else facts.slices
    return not step, step, -length, facts.number is None, facts.number or 0, series.scan_name, facts.uid


def _coverage(series: ListedSeries, rivals: Iterable[ListedSeries]) -> float:
    """How much of the body its slices and those of its other parts cover, in mm; 0 where that is unknown.

    Copies, and slices at one place, cover no more than one of them.
    """
    parts = [one.facts for one in rivals if one is series or one.complements(series)]
    length, top = 0.0, -math.inf
    for low, high in sorted(part.reach for part in parts if part.reach):
        length += max(0.0, high - max(low, top))
        top = max(top, high)
    return length or (series.facts.spacing or 0) * series.facts.slices


def _wrong(written: str, why: str) -> CallError:
    return CallError(f"--series-filter {written}: {why}")
