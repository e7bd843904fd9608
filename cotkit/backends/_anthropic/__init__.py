"""Anthropic's Messages API: the client, what goes over the wire, what comes back, what fails."""
