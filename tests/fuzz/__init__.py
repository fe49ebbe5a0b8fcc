"""Input that nobody means well: from clients, on the socket, and from Runpod.

Whatever comes in, the gateway answers in OpenAI's envelope, never with a 500, and keeps nothing. The normal run tries
500 cases of each kind, always the same ones. `FAIRPOD_FUZZ_CASES=10000 pytest tests/fuzz` tries so many.
"""
