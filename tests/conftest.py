"""Settings of the whole suite."""

from hypothesis import settings

# Machines are noisy: a slow example is no fault. Counts stay Hypothesis' own unless a test says otherwise.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
