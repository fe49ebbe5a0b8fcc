"""How one kind of worker takes a request and yields its output."""
