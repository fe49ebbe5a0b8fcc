"""`python -m gateway` is `fairpod`."""

import sys

from gateway.cli import main

sys.exit(main())
