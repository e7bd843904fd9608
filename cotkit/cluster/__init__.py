"""A model asked on many machines through Ray: shards of requests go to actors that hold it."""

from cotkit.cluster.choose import backend_of
from cotkit.cluster.sharded import Cluster, Sharded

__all__ = ["Cluster", "Sharded", "backend_of"]
