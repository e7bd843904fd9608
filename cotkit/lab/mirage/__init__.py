"""``cotkit lab mirage``: metrics that make smooth curves look sudden (arXiv:2304.15004, 5)."""
