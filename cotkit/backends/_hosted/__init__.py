"""What hosted backends share: the base, the policy of calls, keys, and what models refuse."""
