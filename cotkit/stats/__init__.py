"""Numbers in, numbers out: intervals, tests, bootstraps, sequential bounds, curves."""
