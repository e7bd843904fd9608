"""OpenAI's protocol: requests to bodies, bodies to completions, exceptions to faults."""
