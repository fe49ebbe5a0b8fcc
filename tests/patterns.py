"""Count how far an expression may look: the regular expressions that read strangers' texts have to be cheap."""

import re._constants as names  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from typing import Any


def reach_of(pattern: str, flags: int = 0) -> int:
    """Return how many characters an expression looks at, at most, from where it begins.

    A quantifier without an upper bound is as good as infinite, and nested ones are multiplied.
    """
    return _reach(parser.parse(pattern, flags))


def _reach(parts: Any) -> int:
    total = 0
    for operation, argument in parts:
        if operation in {names.MAX_REPEAT, names.MIN_REPEAT, names.POSSESSIVE_REPEAT}:
            total += int(argument[1]) * _reach(argument[2])
        elif operation is names.SUBPATTERN:
            total += _reach(argument[3])
        elif operation is names.BRANCH:
            total += max(_reach(each) for each in argument[1])
        elif operation in {names.ASSERT, names.ASSERT_NOT}:
            total += _reach(argument[1])
        elif operation is names.ATOMIC_GROUP:
            total += _reach(argument)
        elif operation is not names.AT:
            total += 1
    return total
