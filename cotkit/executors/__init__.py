"""A model asked on many machines through Ray: shards of requests go to actors that hold it."""
