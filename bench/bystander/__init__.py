"""Whether a polite client feels those beside it that read slowly or hold connections open for nothing."""
