"""Parse and encode OpenAI's JSON, Runpod's JSON and server-sent events. Depends on no other part of the gateway."""
