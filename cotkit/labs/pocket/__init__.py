"""The pocket family: one recipe, one stream of worked arithmetic, sizes evenly spaced in log."""
