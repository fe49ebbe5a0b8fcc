"""How soon a client has text from a job, when many jobs share the budget for polls."""
