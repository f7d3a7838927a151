"""From an alarm's call to its delivery: the outbox on disk, the retry policy, the sender."""
