"""The models that can be used, where their weights come from, and how to get them here."""
