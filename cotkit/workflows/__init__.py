"""From a spec, a file or a stored run to its analysis: what every front door runs."""
