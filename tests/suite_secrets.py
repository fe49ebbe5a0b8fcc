"""What no test may let out: the keys of all of them, and words that nearly every prompt and completion holds."""

import msgspec

from tests.chaos.questions import SECRETS as OF_CHAOS
from tests.clients.tenants import LIMITED_KEY, NARROW_KEY, SINGLE_KEY
from tests.secrets_scan import Secrets
from tests.stacks import KEY, RUNPOD_KEY

SUITE: Secrets = msgspec.structs.replace(
    OF_CHAOS,
    keys=(*OF_CHAOS.keys, KEY, RUNPOD_KEY, LIMITED_KEY, NARROW_KEY, SINGLE_KEY),
    prompts=(*OF_CHAOS.prompts, "count to ", 'say "'),
    completions=(*OF_CHAOS.completions, "You said: "),
    # Tracebacks belong to tests that raise what nobody foresaw; the workers' file is the emulator's alone.
    insides=("/src/handler.py",),
)
