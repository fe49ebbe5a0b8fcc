"""Between OpenAI's world and Runpod's: pure functions and state machines. No I/O, no clock, no randomness."""
