"""Which models there are, where their weights come from, and how they get to this machine."""
