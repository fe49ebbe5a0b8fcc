"""The configuration file: its sections as types, and the reading of it. Only the composition root looks in here."""
