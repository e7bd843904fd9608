"""Half-price batches of OpenAI and Anthropic, behind the same requests."""
