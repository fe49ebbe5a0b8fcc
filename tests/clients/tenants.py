"""Tenants of whom each meets a border of its own."""

from gateway.config.keys import key_line
from tests.stacks import KEY

LIMITED_KEY, NARROW_KEY, SINGLE_KEY = "fp-limited", "fp-narrow", "fp-single"
REQUESTS_PER_MINUTE = 2

TENANTS = [
    {"name": "acme", "keys": [key_line(KEY)]},
    {"name": "limited", "keys": [key_line(LIMITED_KEY)], "requests_per_minute": REQUESTS_PER_MINUTE},
    {"name": "narrow", "keys": [key_line(NARROW_KEY)], "models": ["m-too"]},
    {"name": "single", "keys": [key_line(SINGLE_KEY)], "max_in_flight": 1},
]
