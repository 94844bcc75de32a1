"""Release files: catalogue, build, verify, publish, read. Knows neither pipelines nor api."""
