"""Who may do what, and when. Pure: the caller says what time it is."""
