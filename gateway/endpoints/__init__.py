"""Track what is known of each endpoint: its workers, its failures and its GPU time."""
